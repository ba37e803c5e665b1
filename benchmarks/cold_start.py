"""Measures the start of commands in a warm file cache, in this checkout and in another one.

    python benchmarks/cold_start.py --against FOLDER
    python benchmarks/cold_start.py --against FOLDER --rounds 9 --only lorb-serve

- lorb-serve: from the start of the process to the first rescored answer, with the base and the store of the repository.
- lorb-health: a check of a running server.
- `--help` of every command.

The checkouts take turns, in an order that alternates between rounds. A figure is the median of its rounds; a ratio is
the median of the rounds' ratios of this checkout's time to the other's. Adds to benchmarks/results/cold_start.jsonl.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path

from lorb import Hypothesis, NBest, Outcome, RescoreOptions
from lorb.errors import LorbError
from lorb_client import Client
from results_file import RESULTS, ROOT, write_results
from serving_process import START_SECONDS, STOP_SECONDS, free_port

FIGURES = RESULTS / "cold_start.jsonl"
SOURCE_FOLDERS = ("proto", "adapters", "server", "client")
LIST = NBest((Hypothesis("the cat sat on the mat", -1.0), Hypothesis("the cat sad on the mat", -2.0)))
OPTIONS = RescoreOptions(domain="librispeech")  # the domain of the repository's store
POLL_SECONDS = 0.01
Measurement = Callable[["Checkout"], float]  # returns seconds


class Checkout:
    """The commands of a checkout. Another checkout's run with its source folders first on Python's path."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        self.scripts: dict[str, str] = project["scripts"]

    def start(self, command: str, *arguments: object) -> "subprocess.Popen[bytes]":
        """Starts a command; its output is not shown."""
        module, _, function = self.scripts[command].partition(":")
        code = f"import sys; from {module} import {function}; sys.exit({function}(sys.argv[1:]))"
        path = os.pathsep.join(str(self._folder / each) for each in SOURCE_FOLDERS)
        return subprocess.Popen(
            [sys.executable, "-P", "-c", code, *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": path},
            stdout=subprocess.DEVNULL,
        )


def run_to_end(checkout: Checkout, command: str, *arguments: object) -> float:
    """Returns the seconds that a command took. Raises SystemExit if it failed."""
    began = time.perf_counter()
    status = checkout.start(command, *arguments).wait(START_SECONDS)
    took = time.perf_counter() - began
    if status:
        sys.exit(f"{command} ended with status {status}")
    return took


@contextmanager
def started(checkout: Checkout):
    """Starts a server and waits for its first rescored answer. Yields (seconds until then, port); ends the server."""
    port = free_port()
    began = time.perf_counter()
    server = checkout.start(
        "lorb-serve", "--store", ROOT / "adapters" / "store", "--port", port, "--no-admin", "--metrics-port", 0,
        "--drain-seconds", 0, "--log-level", "warning",
    )  # fmt: skip
    try:
        _wait(server, lambda: _listens(port))
        with Client(f"127.0.0.1:{port}") as client:
            _wait(server, lambda: _rescores(client))
        yield time.perf_counter() - began, port
    finally:
        server.terminate()
        server.wait(STOP_SECONDS)


def _wait(server: "subprocess.Popen[bytes]", is_over: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while not is_over():
        if server.poll() is not None or time.monotonic() > give_up_at:
            sys.exit("lorb-serve did not start")
        time.sleep(POLL_SECONDS)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _rescores(client: Client) -> bool:
    try:
        return client.rescore(LIST, OPTIONS).outcome is Outcome.RESCORED
    except LorbError:
        return False


def first_answer(checkout: Checkout) -> float:
    """Seconds from the start of lorb-serve to its first rescored answer."""
    with started(checkout) as (seconds, _):
        return seconds


def alternate(this: Checkout, other: Checkout, rounds: int, measure: Measurement) -> dict[str, float]:
    """Measures both checkouts in turn; returns the medians, and the median and range of the ratios."""
    seconds: dict[Checkout, list[float]] = {this: [], other: []}
    for each in (this, other):
        measure(each)  # its files are in the cache from now on
    for number in range(rounds):
        for each in (this, other) if number % 2 == 0 else (other, this):
            seconds[each].append(measure(each))
    ratios = [mine / theirs for mine, theirs in zip(seconds[this], seconds[other], strict=True)]
    figures = {
        "seconds": statistics.median(seconds[this]), "seconds_of_other": statistics.median(seconds[other]),
        "ratio": statistics.median(ratios), "lowest_ratio": min(ratios), "highest_ratio": max(ratios),
    }  # fmt: skip
    return {name: float(f"{value:.3g}") for name, value in figures.items()}


def measurements(this: Checkout, other: Checkout, only: str | None, rounds: int):
    """Yields (what starts, the figures) one after the other. only: the name of one command; None: all."""
    commands = sorted(this.scripts.keys() & other.scripts.keys())
    if only in (None, "lorb-serve"):
        yield "lorb-serve to the first rescored answer", alternate(this, other, rounds, first_answer)
    if only in (None, "lorb-health"):
        with started(this) as (_, port):
            target = ("--target", f"127.0.0.1:{port}")
            yield (
                "lorb-health of a running server",
                alternate(this, other, rounds, lambda each: run_to_end(each, "lorb-health", *target)),
            )
    for command in commands:
        if only in (None, command):
            figures = alternate(this, other, rounds, lambda each, name=command: run_to_end(each, name, "--help"))
            yield f"{command} --help", figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints and records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, required=True, metavar="FOLDER", help="another checkout")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", metavar="COMMAND", help="one command")
    parser.add_argument("--results", type=Path, default=FIGURES, metavar="FILE")
    args = parser.parse_args(arguments)
    lines = []
    for name, figures in measurements(Checkout(ROOT), Checkout(args.against), args.only, args.rounds):
        print(
            f"{name:<42} {figures['seconds']:>6.3g} s, other {figures['seconds_of_other']:>6.3g} s, ratio "
            f"{figures['ratio']:.2f} ({figures['lowest_ratio']:.2f} to {figures['highest_ratio']:.2f})",
            flush=True,
        )
        lines.append({"name": name, **figures, "rounds": args.rounds})
    write_results(args.results, lines, identity=("name",))
    return 0


if __name__ == "__main__":
    sys.exit(main())
