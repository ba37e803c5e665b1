"""Pings of clients: calls of 300 s, idle connections with a ping each 10 s, and a client that answers no ping.

    python benchmarks/faults/pings.py
    python benchmarks/faults/pings.py --commands FOLDER --release before

Takes 5 minutes and little CPU. The long calls are served by the release's own `make_server` with a handler that waits,
and called by the release's own Client, once with 5 MB, which gRPC cannot send again, and once with a small batch. The
idle connections are to all ports of real servers, with and without front processes; they ping for 45 s. A connection
that answers no pings must be closed within 90 s. Adds to benchmarks/results/faults_of_issues.jsonl.
"""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
from fault_figures import FaultFigure, parse_arguments, report_figures
from grpc_health.v1 import health_pb2, health_pb2_grpc
from server_process import server_process

from serving_process import free_port

WAIT_SECONDS = 300
SERVER = f"""
import asyncio, sys
from lorb.v1 import rescoring_pb2 as pb, rescoring_pb2_grpc
from lorb_server.config import ServeConfig
from lorb_server.rpc.health import Health
from lorb_server.rpc.server import RESCORING, make_server

class Waiting(rescoring_pb2_grpc.RescoringServiceServicer):
    async def BatchRescore(self, request, context):
        await asyncio.sleep({WAIT_SECONDS})
        response = pb.RescoreResponse(outcome=1, hypotheses=[pb.RescoredHypothesis(index=0, transcript="a")])
        return pb.BatchRescoreResponse(results=[pb.BatchRescoreResult(response=response) for _ in request.requests])

async def main():
    health = Health((RESCORING,))
    server = make_server(ServeConfig(max_message_bytes=2**26), RESCORING, health)
    rescoring_pb2_grpc.add_RescoringServiceServicer_to_server(Waiting(), server)
    server.add_insecure_port("127.0.0.1:" + sys.argv[1])
    await server.start()
    health.serve()
    await server.wait_for_termination()

asyncio.run(main())
"""
CLIENT = f"""
import sys, time
from lorb import Hypothesis, NBest, RescoreOptions
from lorb_client import Client

port, num_lists, num_hypotheses, num_words = map(int, sys.argv[1:])
lists = [
    NBest(tuple(Hypothesis(f"{{i}} {{j}} " + "word " * num_words, -float(j)) for j in range(num_hypotheses)), id=str(i))
    for i in range(num_lists)
]
with Client(f"127.0.0.1:{{port}}", wait_for_ready=True) as client:
    started = time.monotonic()
    try:
        client.rescore_batch(lists, RescoreOptions(domain="d"), timeout_seconds={WAIT_SECONDS + 50})
        print("answered", time.monotonic() - started)
    except Exception as error:
        print(type(error).__name__, time.monotonic() - started)
"""
CALLS = {"5 MB": (230, 20, 220), "small": (1, 2, 3)}  # lists, hypotheses of a list, words of a hypothesis
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


def long_calls(commands: Path) -> Iterator[FaultFigure]:
    """The figures of the two calls, which run at the same time, and of the idle connections meanwhile."""
    port, python = free_port(), commands / "python"
    processes = [subprocess.Popen([python, "-c", SERVER, str(port)])]
    try:
        for sizes in CALLS.values():
            command = [python, "-c", CLIENT, str(port), *map(str, sizes)]
            processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        yield from idle_pings(commands)
        for name, process in zip(CALLS, processes[1:], strict=True):
            outcome, seconds = process.communicate(timeout=WAIT_SECONDS + 120)[0].split()
            is_right = outcome == "answered"
            measured = f"{outcome} after {float(seconds):.0f} s"
            yield FaultFigure(f"call of {WAIT_SECONDS} s, {name}", measured, float(seconds), is_right)
    finally:
        for process in processes:
            process.kill()
            process.wait()


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
        yield _end_of_silent_client(silent, began)


def _end_of_silent_client(silent: socket.socket, began: float) -> FaultFigure:
    try:
        while True:
            silent.settimeout(max(began + SILENT_SECONDS - time.monotonic(), 0.001))
            if not silent.recv(4096):
                break
    except TimeoutError:
        return FaultFigure("client that answers no ping", f"connected after {SILENT_SECONDS:g} s", None, False)
    except ConnectionError:
        pass
    seconds = time.monotonic() - began
    return FaultFigure("client that answers no ping", f"disconnected after {seconds:.0f} s", seconds, True)


if __name__ == "__main__":
    arguments = parse_arguments(__doc__)
    sys.exit(report_figures(arguments.release, long_calls(arguments.commands)))
