"""Measures throughput and latency of lorb-serve over gRPC, by front processes and CUDA graphs."""

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from gpu.records import Record
from gpu.setting import Setting
from lorb.ranked import RescoreOptions
from lorb.wire import request_from_nbest
from models import prepared
from serving_process import ClosedLoop, closed_loop, serving_process
from workload import domain_name

COMMAND = (sys.executable, "-m", "lorb_server.cli")  # works without an installed LoRB
CONNECTIONS = 8  # per client; the kernel distributes them over the fronts
LISTS = 500


def over_grpc(setting: Setting, name: str) -> Iterator[Record]:
    """Throughput of many callers and latency of one, by number of front processes."""
    amount = setting.amount
    lists = setting.take(0, LISTS)
    requests = [
        request_from_nbest(each.nbest, RescoreOptions(domain=domain_name(each.domain))).SerializeToString()
        for each in lists
    ]
    folders = prepared(name)
    flags = (
        "--base", folders.base, "--store", folders.store, "--device", setting.device, "--dtype", "bfloat16",
        "--score-cache-bytes", 0, "--max-queue-seconds", 100, "--default-deadline-seconds", 100,
    )  # fmt: skip
    with ProcessPoolExecutor(amount.clients, get_context("spawn")) as clients:
        for fronts in amount.fronts:
            with serving_process(*flags, "--front-processes", fronts, command=COMMAND) as server:
                many = _throughput(clients, server.target, requests, amount.callers, amount)
                alone = closed_loop(server.target, requests, 1, amount.serving_seconds / 2)
            name_of_load = f"gRPC, {fronts} fronts"
            note = f"{amount.clients * amount.callers} callers in {amount.clients} processes"
            yield Record(name_of_load, name, many, "hypotheses/s", note=note)
            yield Record(f"{name_of_load}, one caller, p50", name, 1000 * alone.median_seconds, "ms")
    if setting.device != "cuda":
        return
    with serving_process(*flags, "--cuda-graphs", "off", command=COMMAND) as server:
        alone = closed_loop(server.target, requests, 1, amount.serving_seconds / 2)
    yield Record("gRPC, 0 fronts, one caller, p50, eager", name, 1000 * alone.median_seconds, "ms")


def _throughput(clients: ProcessPoolExecutor, target: str, requests: Sequence[bytes], callers: int, amount) -> float:
    """Hypotheses rescored a second by all clients, after a warm-up."""
    rate = 0.0
    for seconds in (amount.serving_seconds / 4, amount.serving_seconds):
        ask = partial(closed_loop, target, requests, callers, seconds, CONNECTIONS)
        loops: list[ClosedLoop] = [each.result() for each in [clients.submit(ask) for _ in range(amount.clients)]]
        rate = sum(loop.hypotheses_per_second for loop in loops)
    return rate
