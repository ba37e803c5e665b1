"""A TCP proxy that counts connections."""

import socket
import threading
from contextlib import contextmanager, suppress


class CountingProxy:
    """Forwards bytes both ways; `connections` counts the connections so far."""

    def __init__(self, port):
        self.connections = 0
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open = [self._listener]
        self.target = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self):
        """Closes all connections."""
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in self._open:
            each.close()

    def _accept(self):
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            server = socket.create_connection(("127.0.0.1", self._port))
            self._open += [caller, server]
            for ends in ((caller, server), (server, caller)):
                thread = threading.Thread(target=_pump, args=ends)
                self._threads.append(thread)
                thread.start()


def _pump(source, sink):
    with suppress(OSError):
        while content := source.recv(65536):
            sink.sendall(content)
    for each in (source, sink):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextmanager
def counting_proxy(port):
    """A proxy in front of `port`, closed afterwards."""
    proxy = CountingProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
