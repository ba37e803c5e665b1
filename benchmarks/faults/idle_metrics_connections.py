"""1,100 idle connections to the metrics port, then to the call port, of a server that may open few files.

    python benchmarks/faults/idle_metrics_connections.py
    python benchmarks/faults/idle_metrics_connections.py --commands FOLDER --release before

The server's limits of open files are 1,024 (soft) and 4,096 (hard). New calls and scrapes must be answered while the
connections are open. Adds to benchmarks/results/faults_of_issues.jsonl.
"""

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.request import urlopen

import grpc
from fault_figures import FaultFigure, parse_arguments, report_figures
from grpc_health.v1 import health_pb2, health_pb2_grpc
from server_process import ServerProcess, server_process

NUM_CONNECTIONS = 1100
LIMITED = ("prlimit", "--nofile=1024:4096")
CALL_SECONDS = 5.0


def idle_connections(commands: Path, name: str) -> Iterator[FaultFigure]:
    """The figures of idle connections to one port: "port" or "metrics_port"."""
    with server_process(commands, prefix=LIMITED) as server, ExitStack() as stack:
        for _ in range(NUM_CONNECTIONS):
            _open(server.ports[name], stack)
        time.sleep(1.0)
        for what, answers in (("call", _answers_a_call), ("scrape", _answers_a_scrape)):
            is_right = answers(server)
            measured = f"a new {what} is {'answered' if is_right else f'not answered within {CALL_SECONDS:g} s'}"
            yield FaultFigure(f"{NUM_CONNECTIONS} idle connections to {name}: {what}", measured, None, is_right)


def _open(port: int, stack: ExitStack) -> None:
    connection = stack.enter_context(socket.socket())
    connection.settimeout(0.2)
    try:
        connection.connect(("127.0.0.1", port))
    except OSError:  # a server without free file descriptors accepts nothing
        return


def _answers_a_call(server: ServerProcess) -> bool:
    with grpc.insecure_channel(server.target) as channel:
        try:
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=CALL_SECONDS)
        except grpc.RpcError:
            return False
    return True


def _answers_a_scrape(server: ServerProcess) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{server.ports['metrics_port']}/metrics", timeout=CALL_SECONDS) as answer:
            return b"lorb_serving 1.0" in answer.read()
    except OSError:
        return False


if __name__ == "__main__":
    arguments = parse_arguments(__doc__)
    figures = [figure for name in ("metrics_port", "port") for figure in idle_connections(arguments.commands, name)]
    sys.exit(report_figures(arguments.release, figures))
