"""Compares LoRB's engine and server with a floor and with peers on the same real lists.

The systems take turns (A B C A B C ...), one at a time, each on two threads. A figure is the median over rounds, and a
ratio the median over rounds of the ratio within a round. Before the timing, all systems must give the same scores.
Prints a table with the project's targets and adds the figures to benchmarks/results/serving.jsonl.

    python benchmarks/serving/run.py --quick            the essential figures, under 8 minutes on 2 cores
    python benchmarks/serving/run.py                    all figures
    python benchmarks/serving/run.py --model minilm --dtype float32 --only engine,floor --rounds 3
    python benchmarks/serving/run.py --against FOLDER   the servers of this checkout and of another one
"""

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import pstdev
from typing import Any

from grpc import aio

import figures
from checkouts.against import main as compare_with
from figures import LORB
from plans import BFLOAT16, FLOAT32, FULL_PASSES, OURS, SERVERS, Plan, amount_of, plans_of
from processes import OfflineProcess, ServerProcess, lorb_server, mosec_server, plain_server
from served import Served, latency_records
from workload import Workload

CHECKED_LISTS = 3
# Largest difference of a score, in standard deviations of the scores; in bfloat16 it finds only gross errors.
TOLERANCE = {FLOAT32: 1e-3, BFLOAT16: 0.5}
MOSEC_BATCH_LISTS = (1, 2, 4, 8)  # the fastest is taken
MIN_TUNING_LISTS = 26  # 256 hypotheses: two of the largest padded batches
MIN_FULL_PASS_LISTS = 48  # fill a pass of 8192 tokens
FAILURES = (RuntimeError, OSError, EOFError, ValueError, aio.AioRpcError)


class Run:
    """A run of one plan."""

    def __init__(self, plan: Plan, stack: contextlib.ExitStack) -> None:
        self.failures: list[str] = []
        self._plan = plan
        self._stack = stack
        self._workload = Workload()
        self._runner = stack.enter_context(asyncio.Runner())
        self._ours = stack.enter_context(OfflineProcess(plan.model, plan.dtype))
        self._auto = self._ours.ask(auto=True)["dtype"]  # makes the model's folders
        # a process without LoRB's allocator settings
        self._peers = stack.enter_context(OfflineProcess(plan.model, plan.dtype))
        self._served: dict[str, Served] = {}
        self._systems = list(plan.systems)

    def records(self) -> list[figures.Record]:
        """Prepares and checks the systems, measures them in turn, then measures latency."""
        plan = self._plan
        for name in self._systems[:]:
            self._attempt(name, lambda name=name: self._make_ready(name))
        rounds: dict[str, list[float]] = {name: [] for name in plan.systems}
        for number in range(plan.rounds):
            for name in self._systems[:]:
                self._attempt(name, lambda name=name, n=number: rounds[name].append(self._turn(name, n)))
        whole = {name: rounds[name] for name in self._systems}
        records = figures.throughput_records(plan.model, plan.dtype, whole)
        servers = [self._served[name] for name in self._systems if name in self._served]
        if plan.latency_seconds and LORB in self._systems:
            lists = self._workload.take(0, plan.lists)
            self._attempt(LORB, lambda: records.extend(
                latency_records(plan.model, plan.dtype, servers, lists, plan.latency_seconds)
            ))  # fmt: skip
        return records

    def _attempt(self, name: str, action: Callable[[], object]) -> None:
        """Runs an action and leaves out the system if it fails."""
        try:
            action()
        except FAILURES as error:
            self.failures.append(f"{self._plan.model} {self._plan.dtype} {name}: {error}")
            self._systems.remove(name)
            self._say(f"{name} FAILED: {error}")

    def _make_ready(self, name: str) -> None:
        if name in SERVERS:
            self._served[name] = Served(name, self._stack.enter_context(self._server(name)), self._runner)
        elif name.startswith("peft"):
            tuned = self._peers.ask(tune=name, start=0, count=max(MIN_TUNING_LISTS, self._plan.lists // 3))
            self._say(f"{name}: batches of {tuned['batch_size']} hypotheses, the fastest of {[*tuned['seconds']]}")
        else:
            self._offline(name).ask(
                run=name, start=0, count=MIN_FULL_PASS_LISTS if name in FULL_PASSES else CHECKED_LISTS
            )
        if name not in ("floor", "floor_8192", "engine", "mix_1", "mix_32", "engine_pairs_auto"):
            self._check(name)

    def _check(self, name: str) -> None:
        """Raises ValueError if the system's scores differ from LoRB's."""
        lists: dict[str, Any] = {"start": 0, "count": CHECKED_LISTS}
        if name in ("cross_encoder", "engine_pairs"):  # both read pairs, and the former has one adapter
            lists["domain"] = 0
        reference = {"cross_encoder": "engine_pairs", "engine_pairs": "cross_encoder"}.get(name, "engine")
        if reference == "cross_encoder":
            return  # cross_encoder's check compares the two
        expected = self._ours.ask(scores=reference, **lists)["scores"]
        if name in self._served:
            scores = self._served[name].scores(self._workload.take(0, CHECKED_LISTS))
        else:
            scores = self._offline(name).ask(scores=name, **lists)["scores"]
        difference = max(abs(a - b) for a, b in zip(scores, expected, strict=True)) / pstdev(expected)
        self._say(f"{name}: scores differ from LoRB's engine's by {difference:.1e} of their spread")
        if not difference <= TOLERANCE[self._plan.dtype]:
            raise ValueError(f"scores differ by {difference:.1e}, more than {TOLERANCE[self._plan.dtype]:.0e}")

    def _turn(self, name: str, number: int) -> float:
        """Measures hypotheses a second in one turn."""
        count = max(self._plan.lists, MIN_FULL_PASS_LISTS if name in FULL_PASSES else 0)
        start = number * count
        if name in self._served:
            value = self._served[name].throughput(self._workload.take(start, count))
        else:
            if name == "engine_pairs_auto" and self._auto == self._plan.dtype:
                name = "engine_pairs"  # the same system, timed again for its own round
            answer = self._offline(name).ask(run=name, start=start, count=count)
            value = answer["hypotheses"] / answer["seconds"]
        self._say(f"round {number + 1}/{self._plan.rounds} {name}: {value:.1f} hypotheses/s")
        return value

    def _offline(self, name: str) -> OfflineProcess:
        return self._ours if name in OURS else self._peers

    def _server(self, name: str) -> ServerProcess:
        plan = self._plan
        if name == LORB:
            folder = Path(self._ours.ask(folder=True)["folder"])
            return lorb_server(folder / "base", folder / "store", plan.dtype)
        if name == "plain_grpc":
            return plain_server(plan.model, plan.dtype)
        return mosec_server(plan.model, plan.dtype, self._best_mosec_batch())

    def _best_mosec_batch(self) -> int:
        """The fastest batch size of mosec, in lists."""
        plan = self._plan
        lists = self._workload.take(0, max(MIN_TUNING_LISTS, plan.lists // 3))
        rates = {}
        for batch_lists in MOSEC_BATCH_LISTS:
            with mosec_server(plan.model, plan.dtype, batch_lists) as process:
                rates[batch_lists] = Served("mosec", process, self._runner).throughput(lists)
        best = max(rates, key=lambda batch_lists: rates[batch_lists])
        self._say(f"mosec: batches of {best} lists, the fastest of {[*rates]}")
        return best

    def _say(self, text: str) -> None:
        print(f"[{self._plan.model} {self._plan.dtype}] {text}", file=sys.stderr, flush=True)


def main() -> int:
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends the servers
    if arguments.against:
        return compare_with(arguments.against, amount_of(arguments))
    records: list[figures.Record] = []
    failures: list[str] = []
    for plan in plans_of(arguments):
        with contextlib.ExitStack() as stack:
            run = Run(plan, stack)
            records += run.records()
            failures += run.failures
        figures.write(records, arguments.out)
    print(figures.table(records))
    for failure in failures:
        print(f"failed: {failure}")
    return 1 if failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="measure only the essential figures")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="another checkout; . for the machine's noise")
    parser.add_argument("--seconds", type=float, help="with --against: of each of the three loads in a round")
    parser.add_argument("--model", help="minilm or bert-base, with --against minilm or rescore-minilm; default: both")
    parser.add_argument("--dtype", help="float32 or bfloat16, with --against float32 or auto; default: both")
    parser.add_argument("--only", default="", help="systems, comma-separated; default: the plan's")
    parser.add_argument("--rounds", type=int, help="turns of each system, or rounds of --against")
    parser.add_argument("--lists", type=int, help="lists in each turn")
    parser.add_argument("--latency-seconds", type=float, help="duration of each open loop; 0: none")
    parser.add_argument("--out", type=Path, default=figures.OUTPUT, help="file of the results")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
