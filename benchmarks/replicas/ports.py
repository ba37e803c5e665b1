"""Finds free ports for replicas, which use one port on several addresses."""

import socket
from contextlib import ExitStack


def free_port(addresses: int = 8) -> int:
    """A TCP port that is free at 127.0.0.1, 127.0.0.2 and so on."""
    while True:
        with ExitStack() as probes:
            port = 0
            try:
                for last in range(1, addresses + 1):
                    probe = probes.enter_context(socket.socket())
                    probe.bind((f"127.0.0.{last}", port))
                    port = probe.getsockname()[1]
            except OSError:
                continue
            return port
