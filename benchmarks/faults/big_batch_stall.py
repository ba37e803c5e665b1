"""A legal batch of 256 lists of 256 hypotheses: how long health checks wait, and whether the batch is answered.

    python benchmarks/faults/big_batch_stall.py
    python benchmarks/faults/big_batch_stall.py --commands FOLDER --release before

Health checks follow one another while the batch is decoded, falls back to the first-pass order at its deadline, and is
encoded; the longest one is the longest stall of the event loop. The same without a batch shows what the machine adds.
Runs with and without front processes. Adds to benchmarks/results/faults_of_issues.jsonl.
"""

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from fault_figures import FaultFigure, parse_arguments, report_figures
from grpc_health.v1 import health_pb2, health_pb2_grpc
from server_process import server_process

from lorb.v1 import rescoring_pb2 as pb
from lorb.v1 import rescoring_pb2_grpc

NUM_LISTS = NUM_HYPOTHESES = 256
NUM_BATCHES = 3
DEADLINE_SECONDS = 3.0
MAXIMUM_STALL_SECONDS = 0.1
OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
)


def big_batch(commands: Path, num_fronts: int) -> Iterator[FaultFigure]:
    """The figures of a server with `num_fronts` front processes."""
    name = f"batch of {NUM_LISTS} x {NUM_HYPOTHESES}, {num_fronts} front processes"
    batch = _batch()
    with (
        server_process(commands, "--threads", 1, "--front-processes", num_fronts) as server,
        grpc.insecure_channel(server.target, options=OPTIONS) as channel,
        ThreadPoolExecutor() as threads,
    ):
        stub = rescoring_pb2_grpc.RescoringServiceStub(channel)
        health = health_pb2_grpc.HealthStub(channel)
        quiet = _longest_check(health, lambda began: time.monotonic() > began + DEADLINE_SECONDS)
        outcomes, longest = [], 0.0
        for _ in range(NUM_BATCHES):
            answer = threads.submit(_answer, stub, batch)
            longest = max(longest, _longest_check(health, lambda _, answer=answer: answer.done()))
            outcomes.append(answer.result())
        answered = outcomes.count("answered")
        measured = f"longest health check {longest * 1000:.0f} ms; {quiet * 1000:.0f} ms without a batch"
        yield FaultFigure(f"{name}: stall", measured, longest, longest < MAXIMUM_STALL_SECONDS + quiet)
        measured = f"{answered} of {NUM_BATCHES} answered by their deadline of {DEADLINE_SECONDS:g} s"
        yield FaultFigure(f"{name}: answers", measured, None, answered == NUM_BATCHES)


def _batch() -> pb.BatchRescoreRequest:
    lists = [
        [pb.Hypothesis(transcript=f"list {i} text {j} of many", first_pass_score=-j) for j in range(NUM_HYPOTHESES)]
        for i in range(NUM_LISTS)
    ]
    return pb.BatchRescoreRequest(
        requests=[
            pb.RescoreRequest(domain="librispeech", request_id=str(i), hypotheses=each) for i, each in enumerate(lists)
        ]
    )


def _answer(stub: rescoring_pb2_grpc.RescoringServiceStub, batch: pb.BatchRescoreRequest) -> str:
    try:
        stub.BatchRescore(batch, timeout=DEADLINE_SECONDS)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "answered"


def _longest_check(health: health_pb2_grpc.HealthStub, is_over) -> float:
    """The duration of the longest health check until `is_over(began)` returns true."""
    began, longest = time.monotonic(), 0.0
    while not is_over(began):
        sent = time.monotonic()
        health.Check(health_pb2.HealthCheckRequest(), timeout=30)
        longest = max(longest, time.monotonic() - sent)
        time.sleep(0.001)
    return longest


if __name__ == "__main__":
    arguments = parse_arguments(__doc__)
    figures = [figure for fronts in (0, 1) for figure in big_batch(arguments.commands, fronts)]
    sys.exit(report_figures(arguments.release, figures))
