"""Idle connections whose client sends a ping each 10 s, on every port, and a client that answers no ping.

    python benchmarks/faults/idle_pings.py
    python benchmarks/faults/idle_pings.py --commands FOLDER --release before

Takes 90 s: the pings go on for 45 s, and a connection that does not answer pings must be closed after 80 s. The server
runs with and without front processes. Adds to benchmarks/results/faults_of_issues.jsonl.
"""

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
from fault_figures import FaultFigure, parse_arguments, report_figures
from grpc_health.v1 import health_pb2, health_pb2_grpc
from server_process import server_process

IDLE_SECONDS = 45.0
SILENT_SECONDS = 90.0
# What gRPC's guide to keepalive names as the shortest interval of clients in Go, and what its Java clients allow.
PINGING = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.use_local_subchannel_pool", 1),
)
# HTTP/2's preface, an empty SETTINGS frame and the acknowledgement of the server's; then nothing, not even to a ping.
SILENT_CLIENT = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" + b"\0\0\0\4\1\0\0\0\0"


class IdleClient:
    """A connection that pings without calls, and the number of times it was lost."""

    def __init__(self, target: str) -> None:
        self.num_lost = 0
        self._channel = grpc.insecure_channel(target, options=PINGING)
        self._health = health_pb2_grpc.HealthStub(self._channel)
        self.check()
        self._channel.subscribe(self._count)

    def check(self) -> None:
        """Makes a call. Raises grpc.RpcError if it fails."""
        self._health.Check(health_pb2.HealthCheckRequest(), timeout=10)

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def _count(self, state: grpc.ChannelConnectivity) -> None:
        self.num_lost += state is not grpc.ChannelConnectivity.READY


def idle_pings(commands: Path) -> Iterator[FaultFigure]:
    """The figures of all ports of two servers."""
    with ExitStack() as stack:
        clients = {}
        for num_fronts in (0, 2):
            server = stack.enter_context(server_process(commands, "--front-processes", num_fronts))
            for port in ("port", "admin_port"):
                client = IdleClient(f"127.0.0.1:{server.ports[port]}")
                stack.callback(client.close)
                clients[f"pings each 10 s, {port}, {num_fronts} front processes"] = client
        silent = stack.enter_context(socket.create_connection(("127.0.0.1", server.ports["port"])))
        silent.sendall(SILENT_CLIENT)
        began = time.monotonic()
        time.sleep(IDLE_SECONDS)
        for name, client in clients.items():
            lost = client.num_lost
            yield FaultFigure(name, f"connection lost {lost} times in {IDLE_SECONDS:g} s", None, lost == 0)
        silent.settimeout(began + SILENT_SECONDS - time.monotonic())
        yield _end_of_silent_client(silent, began)


def _end_of_silent_client(silent: socket.socket, began: float) -> FaultFigure:
    try:
        while silent.recv(4096):
            pass
    except TimeoutError:
        return FaultFigure("client that answers no ping", f"connected after {SILENT_SECONDS:g} s", None, False)
    except ConnectionError:
        pass
    seconds = time.monotonic() - began
    return FaultFigure("client that answers no ping", f"disconnected after {seconds:.0f} s", seconds, True)


if __name__ == "__main__":
    arguments = parse_arguments(__doc__)
    sys.exit(report_figures(arguments.release, idle_pings(arguments.commands)))
