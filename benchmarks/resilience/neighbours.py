"""Measures a server alone, beside a training run, and beside two other torch processes on the same cores.

    python benchmarks/resilience/neighbours.py [--before FOLDER] [--rounds 3] [--seconds 20]

FOLDER has the commands of another release (such as the `bin` folder of its environment); both releases take turns.
Beside `lorb-train-adapter` of the same release with its defaults, calls arrive at 30 a second with a deadline of 1 s.
Beside two processes that multiply matrices on two threads each, calls arrive at half of the capacity that was measured
alone. Prints the medians of the rounds and writes `benchmarks/results/neighbours.jsonl`.
"""

import argparse
import asyncio
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks
from lorb.formats import read_nbest_lists
from lorb.ranked import RescoreOptions
from lorb.wire import request_from_nbest
from lorb_client.calls import CallSettings
from lorb_client.load.call_outcome import Connections
from results_file import RESULTS, ROOT, write_results
from serving_process import closed_loop, serving_process

DATA = ROOT / "tests" / "data" / "librispeech"
CALLS_PER_SECOND, DEADLINE_SECONDS = 30.0, 1.0
CAPACITY_CALLERS = 32
TRAINING_SECONDS = 35.0  # the run reports a step every 10 s, and evaluates in between
FOREIGN = "import torch; torch.set_num_threads(2); a = torch.randn(1024, 1024)\nwhile True: a @ a"
STEP = re.compile(r"step (\d+)/")


class Trainer:
    """A run of `lorb-train-adapter` with its defaults, and its speed."""

    def __init__(self, commands: Path, folder: str) -> None:
        files = ("--train", DATA / "train.jsonl.gz", "--dev", DATA / "dev.jsonl.gz", "--run-dir", f"{folder}/run")
        flags = ("--domain", "librispeech", *files, "--store", f"{folder}/store", "--epochs", 100, "--seed", 1)
        self.child = subprocess.Popen(
            [str(part) for part in (commands / "lorb-train-adapter", *flags)],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._reports: list[tuple[float, int]] = []  # time and step
        threading.Thread(target=self._read, daemon=True).start()

    def steps_per_second(self, since: float) -> float:
        """The speed between the reports after a time."""
        reports = [each for each in self._reports if each[0] >= since]
        if len(reports) < 2:
            raise SystemExit("the training run made too few reports: give more --seconds")
        (first, start), (last, end) = reports[0], reports[-1]
        return (end - start) / (last - first)

    def wait_for_steps(self) -> None:
        """Returns once the run trains."""
        while not self._reports:
            if self.child.poll() is not None:
                raise SystemExit(f"the training run ended with status {self.child.returncode}")
            time.sleep(0.2)

    def _read(self) -> None:
        assert self.child.stderr is not None
        for line in self.child.stderr:
            if found := STEP.match(line):
                self._reports.append((time.monotonic(), int(found[1])))


@contextmanager
def training(commands: Path) -> Iterator[Trainer]:
    """A training run that has begun its steps."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(commands, folder)
        try:
            trainer.wait_for_steps()
            yield trainer
        finally:
            trainer.child.kill()
            trainer.child.wait()


@contextmanager
def foreign_processes() -> Iterator[None]:
    """Two torch processes with two threads each."""
    children = [subprocess.Popen([sys.executable, "-c", FOREIGN]) for _ in range(2)]
    try:
        time.sleep(5.0)  # they import torch
        yield
    finally:
        for child in children:
            child.kill()
            child.wait()


def requests() -> list[bytes]:
    """The LibriSpeech test lists as requests."""
    lists = read_nbest_lists([DATA / "test.jsonl.gz"])
    return [request_from_nbest(each, RescoreOptions(domain="librispeech")).SerializeToString() for each in lists]


async def offer(target: str, bodies: list[bytes], calls_per_second: float, seconds: float) -> tuple[float, float, int]:
    """Sends calls at random times. Returns the share that was rescored, the p99 of all in seconds, and their number."""
    connections = Connections(CallSettings(target), 4)
    await connections.open(10.0)
    source = random.Random(0)  # noqa: S311 - arrivals, not a secret
    tasks: list[asyncio.Task[tuple[bool, float]]] = []

    async def call(body: bytes, due: float) -> tuple[bool, float]:
        outcome = await connections.send(body, DEADLINE_SECONDS)
        return outcome.kind.value == "rescored", time.monotonic() - due

    due = time.monotonic()
    end = due + seconds
    while due < end:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        tasks.append(asyncio.create_task(call(bodies[len(tasks) % len(bodies)], due)))
        due += source.expovariate(calls_per_second)
    answers = await asyncio.gather(*tasks)
    await connections.close()
    latencies = sorted(latency for _, latency in answers)
    return sum(ok for ok, _ in answers) / len(answers), latencies[int(0.99 * len(latencies))], len(answers)


def one_round(commands: Path, bodies: list[bytes], seconds: float) -> dict[str, float]:
    """The figures of one release."""
    figures: dict[str, float] = {}
    with training(commands) as trainer:
        began = time.monotonic()
        time.sleep(TRAINING_SECONDS)
        figures["trainer alone, steps/s"] = trainer.steps_per_second(began)
    flags = (
        "--store",
        ROOT / "adapters" / "store",
        "--score-cache-bytes",
        0,
        "--max-queue-seconds",
        1000,
        "--no-admin",
    )
    with serving_process(*flags, command=(str(commands / "lorb-serve"),)) as server:

        def measure(name: str, rate: float) -> None:
            share, p99, calls = asyncio.run(offer(server.target, bodies, rate, seconds))
            figures[f"{name}, rescored"] = share
            figures[f"{name}, p99 ms"] = 1000 * p99
            figures[f"{name}, goodput lists/s"] = share * calls / seconds

        loop = closed_loop(server.target, bodies, CAPACITY_CALLERS, seconds / 2)
        figures["capacity, lists/s"] = loop.calls_per_second
        measure("alone at 30/s", CALLS_PER_SECOND)
        measure("alone at half load", loop.calls_per_second / 2)
        with training(commands) as trainer:
            began = time.monotonic()
            measure("beside the trainer at 30/s", CALLS_PER_SECOND)
            time.sleep(max(0.0, began + TRAINING_SECONDS - time.monotonic()))
            figures["trainer beside the server, steps/s"] = trainer.steps_per_second(began)
        with foreign_processes():
            measure("beside two processes at half load", loop.calls_per_second / 2)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, metavar="FOLDER")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0)
    args = parser.parse_args()
    releases = {"this": Path(sys.executable).parent} | ({"before": args.before.resolve()} if args.before else {})
    found: dict[str, list[dict[str, float]]] = {name: [] for name in releases}
    bodies = requests()
    for number in range(args.rounds):
        for name in list(releases)[:: -1 if number % 2 else 1]:
            found[name].append(one_round(releases[name], bodies, args.seconds))
            print(f"round {number + 1} {name}: {found[name][-1]}", file=sys.stderr, flush=True)
    lines = [
        {"release": name, "figure": figure, "median": round(statistics.median(each[figure] for each in rounds), 4),
         "rounds": [round(each[figure], 4) for each in rounds]}
        for name, rounds in found.items() for figure in rounds[0]
    ]  # fmt: skip
    for line in lines:
        print(f"{line['release']:8}{line['figure']:45}{line['median']:10.3f}  {line['rounds']}")
    write_results(RESULTS / "neighbours.jsonl", lines, ("release", "figure"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
