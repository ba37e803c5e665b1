"""lorb_server.rpc.server: pings that clients send, and the number of connections."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from lorb_client.channel import CHANNEL_OPTIONS
from lorb_server.rpc import server as rpc_server
from lorb_server.rpc.server import MIN_PING_INTERVAL_MS
from support.servers.serving import WAIT_SECONDS, running_server

GO_AND_JAVA_PING_INTERVAL_MS = 10_000  # the shortest interval that gRPC's Go and Java clients send
MAX_PING_STRIKES = 2  # gRPC's default: the server hangs up at the third ping that comes too early

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, ACKNOWLEDGED_SETTINGS = b"\0\0\0\4\0\0\0\0\0", b"\0\0\0\4\1\0\0\0\0"
PING = b"\0\0\x08\6\0\0\0\0\0" + b"12345678"
PONG = b"\0\0\x08\6\1\0\0\0\0" + b"12345678"


class Http2Connection:
    """A connection that makes no call and sends a ping when it is told to."""

    def __init__(self, port):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS)
        self._socket.sendall(PREFACE + SETTINGS + ACKNOWLEDGED_SETTINGS)

    def is_kept(self):
        """Sends a ping; returns whether the server answers it. Otherwise it has hung up."""
        self._socket.sendall(PING)
        received = b""
        while PONG not in received:
            chunk = self._socket.recv(4096)
            if not chunk:
                return False
            received += chunk
        return True

    def close(self):
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


def is_kept(connection):
    """Sends a ping; returns whether the connection still works. A reset is an end too."""
    try:
        return connection.is_kept()
    except ConnectionError:
        return False


@pytest.fixture(scope="module")
def served(tiny_bert, tmp_path_factory):
    """A server without adapters."""
    with running_server(tiny_bert, tmp_path_factory.mktemp("empty-store")) as served:
        yield served


def test_clients_ping_more_seldom_than_the_server_allows():
    """LoRB's clients and those of Go and Java wait longer between two pings than the server's minimum, twice over."""
    client = dict(CHANNEL_OPTIONS)
    for interval_ms in (client["grpc.keepalive_time_ms"], GO_AND_JAVA_PING_INTERVAL_MS):
        assert interval_ms >= 2 * MIN_PING_INTERVAL_MS


def test_idle_connections_are_kept_by_pings_at_the_minimum_interval(served):
    """On both ports, more pings without a call than gRPC's strikes do not end the connection if they are not early."""

    def pinged(port):
        with Http2Connection(port) as connection:
            answered = [is_kept(connection)]
            for _ in range(MAX_PING_STRIKES + 1):
                time.sleep(MIN_PING_INTERVAL_MS / 1000 + 0.1)
                answered.append(is_kept(connection))
            return [*answered, is_kept(connection)]  # one early ping is allowed; it finds a connection that has ended

    with ThreadPoolExecutor() as threads:
        ports = (served.ports.port, served.ports.admin_port)
        assert list(threads.map(pinged, ports)) == [[True] * (MAX_PING_STRIKES + 3)] * 2


def test_a_flood_of_pings_is_hung_up_on(served):
    """A client that pings without a pause is disconnected."""
    answered = [True]
    with Http2Connection(served.ports.port) as connection:
        while len(answered) < 1000 and answered[-1]:
            answered.append(is_kept(connection))
    assert not answered[-1]


def test_connections_beyond_the_limit_are_closed(tiny_bert, tmp_path, monkeypatch):
    """With two connections allowed, a third is closed at once, and one more is taken after one has left."""
    monkeypatch.setattr(rpc_server, "maximum_connections", lambda: 2)

    with running_server(tiny_bert, tmp_path, admin=False) as served, ExitStack() as stack:
        for stub in served._channels:  # of the test's own stubs
            stub.close()
        first, second, third = (stack.enter_context(Http2Connection(served.ports.port)) for _ in range(3))
        assert [is_kept(each) for each in (first, second, third)] == [True, True, False]
        first.close()
        limit = time.monotonic() + WAIT_SECONDS
        while not is_kept(stack.enter_context(Http2Connection(served.ports.port))):
            assert time.monotonic() < limit
