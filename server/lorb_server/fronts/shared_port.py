"""A port that several processes of one server listen on, and no other server."""

import socket
from types import TracebackType

from lorb.errors import InvalidInput


class SharedPort:
    """Holds the port without listening: connections go to those that listen, and the port stays ours between them.

    Attributes:
        port: the number; a free one where 0 was asked for.
    """

    def __init__(self, host: str, port: int) -> None:
        """Raises InvalidInput where the address is taken or none."""
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            self._socket = socket.socket(family, kind, protocol)
        except OSError as error:
            raise _cannot_bind(host, port) from error
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections just ended don't count
            self._socket.bind(address)
            # Shared from here on, and among the fronts alone: a bind without, or before, has been refused.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        except OSError as error:
            self._socket.close()
            raise _cannot_bind(host, port) from error
        self.port: int = self._socket.getsockname()[1]

    def close(self) -> None:
        """Gives the port up."""
        self._socket.close()

    def __enter__(self) -> "SharedPort":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _cannot_bind(host: str, port: int) -> InvalidInput:
    return InvalidInput(f"--port {port} on {host} cannot be bound: is another server on it?", field="port")
