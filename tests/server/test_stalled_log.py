"""lorb-serve whose stderr nobody reads, and what gRPC writes there."""

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.servers.certificates import Authority
from support.servers.serving import WAIT_SECONDS


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """The authority of the servers' certificates."""
    return Authority(tmp_path_factory.mktemp("authority"), "ca")


@contextmanager
def lorb_serve(base, store, authority, folder, stderr, **settings):
    """A lorb-serve process with TLS; yields the process and its ports, and kills it at the end."""
    certificate, key = authority.issue("server")
    ready = folder / "ready.json"
    flags = {
        "base": base, "store": store.url, "port": 0, "admin-port": 0, "metrics-port": 0, "device": "cpu",
        "drain-seconds": 0, "tls-certificate": certificate, "tls-key": key, "ready-file": ready, **settings,
    }  # fmt: skip
    command = [sys.executable, "-m", "lorb_server.cli", *(f"--{name}={value}" for name, value in flags.items())]
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    process = subprocess.Popen(command, stderr=stderr, env=environment)  # noqa: S603 - our own server
    try:
        limit = time.monotonic() + WAIT_SECONDS
        while not ready.exists():
            assert process.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.02)
        yield process, json.loads(ready.read_text())
    finally:
        process.kill()
        process.wait()


def fail_handshake(port):
    """Opens a connection that speaks no TLS, and waits until the server ends it."""
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS) as connection:
        connection.sendall(b"no TLS at all\r\n\r\n")
        while connection.recv(1024):
            pass


def fill(pipe):
    """Fills a pipe until a writer would wait."""
    flags = fcntl.fcntl(pipe, fcntl.F_GETFL)
    fcntl.fcntl(pipe, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    try:
        while os.write(pipe, b"x" * 512):
            pass
    except BlockingIOError:
        fcntl.fcntl(pipe, fcntl.F_SETFL, flags)


@pytest.mark.parametrize("num_fronts", [0, 1])
def test_a_server_whose_log_nobody_reads_answers_and_ends(tiny_bert, shared_store, authority, tmp_path, num_fronts):
    """With a full pipe as stderr, the server starts, survives a failed TLS handshake, answers calls, and ends."""
    reading, writing = os.pipe()
    fill(writing)
    settings = {"front-processes": num_fronts, "log-level": "debug"}
    try:
        with lorb_serve(tiny_bert, shared_store, authority, tmp_path, writing, **settings) as (process, ports):
            fail_handshake(ports["port"])
            credentials = grpc.ssl_channel_credentials(authority.path.read_bytes())
            with grpc.secure_channel(f"127.0.0.1:{ports['port']}", credentials) as channel:
                health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=WAIT_SECONDS)
            process.terminate()
            assert process.wait(WAIT_SECONDS) == 0
    finally:
        os.close(reading)
        os.close(writing)


def test_grpc_writes_no_lines_of_its_own(tiny_bert, shared_store, authority, tmp_path):
    """After failed TLS handshakes on both ports, every line on stderr is a JSON line of the server."""
    log = tmp_path / "log"
    with (
        log.open("wb") as stderr,
        lorb_serve(tiny_bert, shared_store, authority, tmp_path, stderr) as (process, ports),
    ):
        for name in ("port", "admin_port"):
            fail_handshake(ports[name])
        process.terminate()
        assert process.wait(WAIT_SECONDS) == 0
    messages = [json.loads(line)["message"] for line in log.read_text("utf-8").splitlines()]
    assert messages[-1] == "stopped"
