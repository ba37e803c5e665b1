"""lorb-serve whose stderr nobody reads, and what gRPC writes there."""

import fcntl
import json
import os
import socket

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.servers.certificates import Authority
from support.servers.serving import WAIT_SECONDS, lorb_serve


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """The authority of the servers' certificates."""
    return Authority(tmp_path_factory.mktemp("authority"), "ca")


@pytest.fixture(scope="module")
def tls(authority):
    """The servers' settings of TLS."""
    certificate, key = authority.issue("server")
    return {"tls_certificate": certificate, "tls_key": key}


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
def test_a_server_whose_log_nobody_reads_answers_and_ends(
    tiny_bert, shared_store, authority, tls, tmp_path, num_fronts
):
    """With a full pipe as stderr, the server starts, survives a failed TLS handshake, answers calls, and ends."""
    reading, writing = os.pipe()
    fill(writing)
    settings = {"front_processes": num_fronts, "log_level": "debug", **tls}
    try:
        with lorb_serve(tiny_bert, shared_store.url, tmp_path, stderr=writing, **settings) as (process, ports):
            fail_handshake(ports["port"])
            credentials = grpc.ssl_channel_credentials(authority.path.read_bytes())
            with grpc.secure_channel(f"127.0.0.1:{ports['port']}", credentials) as channel:
                health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=WAIT_SECONDS)
            process.terminate()
            assert process.wait(WAIT_SECONDS) == 0
    finally:
        os.close(reading)
        os.close(writing)


def test_grpc_writes_no_lines_of_its_own(tiny_bert, shared_store, tls, tmp_path):
    """After failed TLS handshakes on both ports, every line on stderr is a JSON line of the server."""
    log = tmp_path / "log"
    with (
        log.open("wb") as stderr,
        lorb_serve(tiny_bert, shared_store.url, tmp_path, stderr=stderr, **tls) as (process, ports),
    ):
        for name in ("port", "admin_port"):
            fail_handshake(ports[name])
        process.terminate()
        assert process.wait(WAIT_SECONDS) == 0
    messages = [json.loads(line)["message"] for line in log.read_text("utf-8").splitlines()]
    assert messages[-1] == "stopped"
