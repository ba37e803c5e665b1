"""lorb_server.rpc.reloaded_files: changed, missing, special and hanging credential files while the server runs."""

import asyncio
import os
import threading
import time

import grpc
import pytest

from lorb.credential_files import CredentialFile
from lorb.v1 import rescoring_pb2 as pb
from lorb_client.health import is_serving
from lorb_server.rpc.reloaded_files import ReloadedFiles
from lorb_server.telemetry.metrics import Metrics
from support.servers.certificates import Authority
from support.servers.serving import WAIT_SECONDS, SimulatedClock, running_server

CHECK_SECONDS = 1.0


class Reloading:
    """A file, its ReloadedFiles on a simulated clock, and a gate that holds each reading of the content."""

    def __init__(self, path, read_seconds=WAIT_SECONDS):
        self.path, self.clock, self.metrics = path, SimulatedClock(), Metrics()
        self.gate = threading.Event()
        self.gate.set()
        path.write_text("first")
        file = CredentialFile(path, "token_file", "--token-file")

        def read():
            assert self.gate.wait(WAIT_SECONDS)
            return file.read_text()

        self.files = ReloadedFiles(
            [file], read, self.metrics.callers, check_seconds=CHECK_SECONDS, read_seconds=read_seconds, clock=self.clock
        )

    def latest(self):
        """The content after the next check."""
        self.clock.now += CHECK_SECONDS
        return self.files.latest()

    def errors(self, reason):
        """How many failed checks were counted."""
        labels = {"setting": "token_file", "reason": reason}
        return self.metrics.registry.get_sample_value("lorb_credential_errors_total", labels) or 0.0


def replace_by_pipe(path):
    """Puts a named pipe without a writer in the place of a file, at once."""
    os.mkfifo(path.with_name("pipe"))
    os.replace(path.with_name("pipe"), path)


@pytest.mark.parametrize("what", ["missing", "pipe", "folder", "not UTF-8"])
def test_a_file_that_cannot_be_read_keeps_its_content(tmp_path, what, caplog):
    """The previous content stays in use; each check counts the error, the log names it once."""
    one = Reloading(tmp_path / "file")
    if what == "pipe":
        replace_by_pipe(one.path)
    elif what == "not UTF-8":
        one.path.write_bytes(b"\xff\xff")
    else:
        one.path.unlink()
        if what == "folder":
            one.path.mkdir()
    assert [one.latest(), one.latest()] == ["first", "first"]
    assert one.errors("unusable") == 2
    assert caplog.messages == ["a credential file is not usable: its previous content stays in use"]
    assert "--token-file" in caplog.records[0].fields["reason"]


def test_a_file_that_is_usable_again_is_read(tmp_path):
    """After a failed check, the next usable content applies."""
    one = Reloading(tmp_path / "file")
    one.path.unlink()
    assert one.latest() == "first"
    one.path.write_text("second")
    assert one.latest() == "second"
    assert one.errors("unusable") == 1


@pytest.mark.parametrize("asked", ["latest", "latest_async"])
def test_a_read_that_hangs_holds_up_nobody(tmp_path, asked):
    """While a read hangs, the previous content is used and the hang is counted; afterwards the new content applies."""
    one = Reloading(tmp_path / "file", read_seconds=0.01)

    def latest():
        one.clock.now += CHECK_SECONDS
        return one.files.latest() if asked == "latest" else asyncio.run(one.files.latest_async())

    one.gate.clear()
    one.path.write_text("second")
    assert [latest(), latest(), latest()] == ["first", "first", "first"]
    assert one.errors("hung") == 3
    assert sum(thread.name == "credentials" for thread in threading.enumerate()) == 1
    one.gate.set()
    give_up_at = time.monotonic() + WAIT_SECONDS
    while latest() == "first" and time.monotonic() < give_up_at:
        time.sleep(0.001)
    assert latest() == "second"


def test_the_thread_of_a_read_does_not_keep_the_process_alive(tmp_path):
    """The reading thread is a daemon, so that a read that never returns cannot hold up the end of the process."""
    one = Reloading(tmp_path / "file", read_seconds=0.01)
    one.gate.clear()
    one.path.write_text("second")
    one.latest()
    assert [each.daemon for each in threading.enumerate() if each.name == "credentials"] == [True]
    one.gate.set()


@pytest.mark.parametrize("front_processes", [0, 1], ids=["one process", "fronts"])
def test_a_pipe_as_token_file_stops_no_call(tiny_bert, shared_store, tmp_path, front_processes):
    """Calls and health checks go on when the token file becomes a pipe, the old tokens stay valid, an error counts."""
    tokens = tmp_path / "tokens"
    tokens.write_text("kiosk:good\n")
    settings = {"token_file": str(tokens), "front_processes": front_processes}
    with running_server(tiny_bert, shared_store.url, **settings) as server:

        def errors():
            if front_processes:
                counted = server.do(server.app.fronts.measure)
                return sum(value for key, value in counted.items() if key[1] == "lorb_credential_errors_total")
            return server.sample("lorb_credential_errors_total", setting="token_file", reason="unusable")

        replace_by_pipe(tokens)
        give_up_at = time.monotonic() + WAIT_SECONDS
        while not errors() and time.monotonic() < give_up_at:
            info = pb.GetServerInfoRequest()
            server.stub.GetServerInfo(info, metadata=(("authorization", "Bearer good"),), timeout=WAIT_SECONDS)
            time.sleep(0.05)
        assert errors() >= 1
        assert is_serving(server.target, timeout_seconds=WAIT_SECONDS)


def test_a_pipe_as_certificate_stops_no_connection(tiny_bert, shared_store, tmp_path):
    """A new connection gets the previous certificate when the certificate's file becomes a pipe."""
    authority = Authority(tmp_path, "ca")
    certificate, key = authority.issue("server")
    settings = {"tls_certificate": str(certificate), "tls_key": str(key)}
    with running_server(tiny_bert, shared_store.url, **settings) as server:
        replace_by_pipe(certificate)
        credentials = grpc.ssl_channel_credentials(authority.path.read_bytes())
        with grpc.secure_channel(server.target, credentials) as channel:
            grpc.channel_ready_future(channel).result(WAIT_SECONDS)
        assert server.sample("lorb_credential_errors_total", setting="tls_certificate", reason="unusable") >= 1
