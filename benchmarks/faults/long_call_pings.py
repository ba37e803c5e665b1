"""Calls of 300 s, with the server's gRPC options and the client's: neither the pings nor anything else may end them.

    python benchmarks/faults/long_call_pings.py
    python benchmarks/faults/long_call_pings.py --commands FOLDER --release before

Takes 5 minutes and no CPU: the release's own `make_server` serves a handler that waits, and the release's own Client
calls it, once with 5 MB, which gRPC cannot send again, and once with a small batch. Adds to
benchmarks/results/faults_of_issues.jsonl.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from fault_figures import FaultFigure, parse_arguments, report_figures

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


def long_calls(commands: Path) -> Iterator[FaultFigure]:
    """The figures of the two calls, which run at the same time."""
    port, python = free_port(), commands / "python"
    processes = [subprocess.Popen([python, "-c", SERVER, str(port)])]
    try:
        for sizes in CALLS.values():
            command = [python, "-c", CLIENT, str(port), *map(str, sizes)]
            processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        for name, process in zip(CALLS, processes[1:], strict=True):
            outcome, seconds = process.communicate(timeout=WAIT_SECONDS + 120)[0].split()
            is_right = outcome == "answered"
            measured = f"{outcome} after {float(seconds):.0f} s"
            yield FaultFigure(f"call of {WAIT_SECONDS} s, {name}", measured, float(seconds), is_right)
    finally:
        for process in processes:
            process.kill()
            process.wait()


if __name__ == "__main__":
    arguments = parse_arguments(__doc__)
    sys.exit(report_figures(arguments.release, long_calls(arguments.commands)))
