"""lorb_server.telemetry.metrics_server: scrapes, and connections that are too many, idle or slow."""

import socket
import urllib.request
from contextlib import ExitStack, contextmanager

import pytest

from lorb.errors import InvalidInput
from lorb_server.telemetry.metrics import Metrics
from lorb_server.telemetry.metrics_server import MAXIMUM_CONNECTIONS, USUAL_CONNECTIONS, MetricsServer
from support.servers.serving import WAIT_SECONDS, free_port


@contextmanager
def metrics_server(**settings):
    server = MetricsServer(Metrics().registry, "127.0.0.1", free_port(), **settings)
    try:
        yield server
    finally:
        server.close()


def scraped(server):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=WAIT_SECONDS) as answer:
        return answer.read().decode()


def opened(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_SECONDS)


def is_ended(connection):
    """Waits for the end of the connection. A reset is an end too."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_metrics_are_served_over_http():
    """A scrape returns the registry's metrics."""
    with metrics_server() as server:
        assert "lorb_serving 0.0" in scraped(server)


def test_idle_connections_do_not_keep_scrapes_out():
    """With as many idle connections as are usual, a new one ends the oldest, and the scrape is answered."""
    with metrics_server(maximum_seconds=WAIT_SECONDS) as server, ExitStack() as stack:
        idle = [stack.enter_context(opened(server)) for _ in range(USUAL_CONNECTIONS)]
        assert "lorb_serving" in scraped(server)
        assert is_ended(idle[0])


def test_the_number_of_connections_is_bounded():
    """Of 200 idle connections the server holds at most MAXIMUM_CONNECTIONS, and it still answers a scrape."""
    with metrics_server(maximum_seconds=WAIT_SECONDS) as server, ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(opened(server))
            assert len(server._server._ends_at) <= MAXIMUM_CONNECTIONS
        assert "lorb_serving" in scraped(server)


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTTP/1.1\r\nX-Slow: "], ids=["idle", "torn request"])
def test_a_connection_ends_when_its_time_is_over(sent):
    """A caller that sends nothing, or half of a request, is disconnected after the time of a scrape."""
    with metrics_server(maximum_seconds=0.0) as server, opened(server) as connection:
        connection.sendall(sent)
        assert is_ended(connection)


def test_lost_connections_print_nothing(capfd):
    """A connection that is reset in the middle of a request leaves no traceback on stderr."""
    with metrics_server() as server:
        for _ in range(5):
            connection = opened(server)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close resets
            connection.sendall(b"GET /metrics")
            connection.close()
        scraped(server)
    assert capfd.readouterr().err == ""


def test_a_port_that_is_taken_is_refused_by_name():
    """A taken port is refused with an error that names --metrics-port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InvalidInput, match="--metrics-port"):
            MetricsServer(Metrics().registry, "127.0.0.1", taken.getsockname()[1])
