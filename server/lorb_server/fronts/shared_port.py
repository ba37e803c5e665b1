"""A port that the processes of one server share, and that no other server can take."""

import socket
from types import TracebackType

from lorb.errors import InvalidInput


class SharedPort:
    """Binds the port without listening, so that the port stays reserved while fronts are restarted.

    Attributes:
        port: the number of the bound port. If 0 was given, this is a free port.
    """

    def __init__(self, host: str, port: int) -> None:
        """Raises InvalidInput if the address is taken or invalid."""
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            self._socket = socket.socket(family, kind, protocol)
        except OSError as error:
            raise _cannot_bind(host, port) from error
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # allow ended connections in TIME_WAIT
            self._socket.bind(address)
            # From here on, fronts may share the port. A server that binds the port without SO_REUSEPORT is refused.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        except OSError as error:
            self._socket.close()
            raise _cannot_bind(host, port) from error
        self.port: int = self._socket.getsockname()[1]

    def close(self) -> None:
        """Releases the port."""
        self._socket.close()

    def __enter__(self) -> "SharedPort":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _cannot_bind(host: str, port: int) -> InvalidInput:
    return InvalidInput(f"--port {port} on {host} cannot be bound: is another server on it?", field="port")
