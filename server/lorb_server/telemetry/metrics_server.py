"""Serves metrics to Prometheus over HTTP, with limits on the number of connections and on their duration."""

import logging
import socket
import sys
import threading
import time
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from lorb.errors import InvalidInput
from lorb_server.telemetry.logs import log_failure

USUAL_CONNECTIONS = 32  # beyond these, a new connection ends the oldest one, so that idle ones cannot keep scrapes out
MAXIMUM_CONNECTIONS = 64  # beyond these, a new connection is closed
MAXIMUM_SECONDS = 10.0  # of a connection; Prometheus' own default for a scrape

_log = logging.getLogger(__name__)


class MetricsServer:
    """Serves one registry at /metrics, on threads of its own."""

    def __init__(
        self, registry: CollectorRegistry, host: str, port: int, *, maximum_seconds: float = MAXIMUM_SECONDS
    ) -> None:
        """Closes each connection after `maximum_seconds`. Raises InvalidInput if the address cannot be bound."""
        try:
            self._server = _BoundedServer(host.strip("[]"), port, maximum_seconds)
        except OSError as error:
            raise InvalidInput(f"--metrics-port {port} on {host}: {error.strerror}", field="metrics_port") from error
        self._server.set_app(make_wsgi_app(registry))
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops serving and ends the threads."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _BoundedServer(ThreadingWSGIServer):
    """The standard library's server with a thread for each connection, but a bounded number of them."""

    request_queue_size = USUAL_CONNECTIONS

    def __init__(self, host: str, port: int, maximum_seconds: float) -> None:
        self.address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        self._maximum_seconds = maximum_seconds
        self._ends_at: dict[socket.socket, float] = {}  # on time.monotonic(), by open connection, the oldest first
        super().__init__((host, port), _QuietHandler)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ANN401
        """Accepts the connection, unless there are too many."""
        for connection in list(self._ends_at)[: 1 - USUAL_CONNECTIONS]:
            _end(connection)
        if len(self._ends_at) >= MAXIMUM_CONNECTIONS:
            return False
        self._ends_at[request] = time.monotonic() + self._maximum_seconds
        return True

    def service_actions(self) -> None:
        """Ends connections whose time is over. `serve_forever` calls this twice a second and after each connection."""
        for connection, ends_at in list(self._ends_at.items()):
            if ends_at <= time.monotonic():
                _end(connection)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401
        """Closes an answered or refused connection."""
        self._ends_at.pop(request, None)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Closes the port and ends the open connections."""
        super().server_close()
        for connection in list(self._ends_at):
            _end(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Logs an unexpected error; the standard library would print it. A lost connection is no error."""
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            log_failure(_log, "a connection of the metrics failed", error)


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401
        """Logs no line for a scrape."""


def _end(connection: socket.socket) -> None:
    """Ends the connection's reads and writes. Its thread then closes it."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:  # the peer has gone, or its thread has closed it
        return
