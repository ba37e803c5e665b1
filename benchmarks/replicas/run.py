"""Puts three replicas under load; one is killed, one added, one drained, and no call may fail.

    python benchmarks/replicas/run.py                  by name, by list and through Envoy
    python benchmarks/replicas/run.py --only dns       one kind only

Real `lorb-serve` processes with MiniLM on 127.0.0.2, .3, .4 and .5, real lists (tests/data), and lorb_client.AioClient
with its own settings. "dns": a DNS server on loopback resolves a name and gains the added replica while the client
runs, as with a headless Service. "list": ipv4:A,B,C,D, where D is started later. "envoy": one connection without
balancing and retries to the Envoy of deploy/kubernetes. Writes benchmarks/results/replicas.jsonl.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks
from envoy_front import plain_client, through_envoy
from lorb.formats.reading import read_nbest_lists
from lorb.ranked import RescoreOptions
from ports import free_port
from replica import Fleet
from results_file import RESULTS, ROOT, write_results
from scenario import Plan, discovery, run_scenario

LISTS = ROOT / "tests" / "data" / "librispeech" / "dev.jsonl.gz"
STORE = ROOT / "adapters" / "store"
FLAGS = ("--store", STORE, "--drain-seconds", 3, "--threads", 1, "--score-cache-bytes", 0)
AGE = ("--max-connection-age-seconds", 10)
KINDS = ("dns", "list", "envoy")


@contextmanager
def lorb_serve() -> Iterator[Callable[[list[str]], int]]:
    """Starts `lorb-serve` processes and kills them at the end."""
    children: list[subprocess.Popen[bytes]] = []

    def start(flags: list[str]) -> int:
        command = [str(Path(sys.executable).parent / "lorb-serve"), *flags]
        children.append(subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}))
        return children[-1].pid

    try:
        yield start
    finally:
        for child in children:
            child.kill()
            child.wait()


def run(kind: str, plan: Plan) -> dict[str, object]:
    """Runs the scenario with new servers. kind: one of KINDS."""
    with tempfile.TemporaryDirectory() as folder, lorb_serve() as start:
        fleet = Fleet(start, Path(folder), free_port(), free_port(), (*FLAGS, *AGE))
        with discovery(fleet, "list" if kind == "list" else "dns") as where:
            if kind == "envoy":
                with through_envoy(where, fleet, Path(folder)) as front:
                    counts, answered = asyncio.run(run_scenario(fleet, front, plan, plain_client))
            else:
                counts, answered = asyncio.run(run_scenario(fleet, where, plan))
            target = "envoy" if kind == "envoy" else where.target
    print(f"{kind}: {counts.num_calls} calls, failed {dict(counts.failed)}, {dict(counts.calls)}, answered {answered}")
    return {
        "kind": kind,
        "target": target,
        "callers": plan.callers,
        "calls": counts.num_calls,
        "failed": dict(counts.failed),
        "outcomes": dict(counts.calls),
        "longest_seconds": round(counts.longest_seconds, 3),
        "answered": answered,
    }


def main() -> int:
    """Runs the scenarios, prints a line for each and writes the results; returns 1 if a call failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=KINDS, action="append", help="run only this kind; may be repeated")
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--phase-seconds", type=float, default=8.0, help="seconds of load after each event")
    arguments = parser.parse_args()
    lists = [each for each in read_nbest_lists([LISTS]) if len(each.distinct()) > 1]
    plan = Plan(
        lists, RescoreOptions(domain="librispeech"), callers=arguments.callers, phase_seconds=arguments.phase_seconds
    )
    failed = False
    for kind in arguments.only or KINDS:
        record = run(kind, plan)
        failed |= bool(record["failed"])
        write_results(RESULTS / "replicas.jsonl", [record], ("kind",))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
