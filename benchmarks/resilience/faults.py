"""Injects faults into a running server; no call may outlast its deadline or get the scores of another list.

    python benchmarks/resilience/faults.py            every fault, about 15 s each
    python benchmarks/resilience/faults.py --only poison --seconds 5

MiniLM on real lists (tests/data), 16 concurrent callers, a deadline of 2 s for each call. The fault is injected after a
third of the run. Writes benchmarks/results/faults.jsonl.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import psutil
from fault_callers import CALLERS, DEADLINE_SECONDS, Callers, RunOutcome
from faulty_server import POISON_WORD

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks
from lorb.formats.reading import read_nbest_lists
from lorb.nbest import NBest
from lorb_client.health import is_serving
from results_file import RESULTS, ROOT, write_results
from serving_process import LORB_SERVE, ServingProcess, free_port

LISTS = ROOT / "tests" / "data" / "librispeech" / "dev.jsonl.gz"
STORE = ROOT / "adapters" / "store"
FAULTS = ("dead-thread", "poison", "out-of-memory", "clock", "sigterm", "killed-front", "full-disk")


def run(fault: str, seconds: float) -> RunOutcome:
    """Runs a server with callers and injects a fault, one of FAULTS."""
    lists = [each for each in read_nbest_lists([LISTS]) if len(each.distinct()) > 1]
    if fault == "poison":
        lists += [NBest(tuple(h for h in _poisoned(lists[0])), id="poison")]
    is_faulty = fault not in ("killed-front", "full-disk", "sigterm")  # the others need no change of the server
    command = [sys.executable, Path(__file__).with_name("faulty_server.py"), fault] if is_faulty else list(LORB_SERVE)
    flags = ["--front-processes", 2] if fault == "killed-front" else []
    with tempfile.TemporaryDirectory() as folder, _store_for(fault, Path(folder)) as store:
        ready = Path(folder) / "ready.json"
        child = subprocess.Popen(
            [str(part) for part in (*command, *_fixed_flags(store, ready), *flags)], stderr=subprocess.DEVNULL
        )
        try:
            return _observe(fault, child, ready, store, Callers(lists, checks_scores=is_faulty), seconds)
        finally:
            child.kill()
            child.wait()


def _observe(fault, child, ready, store, callers: Callers, seconds: float) -> RunOutcome:
    while not ready.exists():
        if child.poll() is not None:
            sys.exit(f"faults: the server for {fault} did not start")
        time.sleep(0.05)
    server = ServingProcess(psutil.Process(child.pid), json.loads(ready.read_text()))
    if callers.checks_scores:
        server.process.send_signal(signal.SIGUSR2)
    until = time.monotonic() + seconds

    async def call_and_inject() -> None:
        calling = asyncio.create_task(callers.call_until(server.target, until))
        await asyncio.sleep(seconds / 3)
        callers.fault_at = time.monotonic()
        await asyncio.to_thread(_inject, fault, server, store, callers.outcome)
        await calling

    asyncio.run(call_and_inject())
    outcome = callers.outcome
    outcome.health = "SERVING" if is_serving(server.target) else "NOT_SERVING"
    try:
        outcome.exit_status = child.wait(timeout=0.1)
    except subprocess.TimeoutExpired:
        outcome.exit_status = None
    if fault == "killed-front":
        outcome.notes["front restarts"] = server.total("lorb_front_restarts_total")
    return outcome


def _inject(fault: str, server: ServingProcess, store: Path, outcome: RunOutcome) -> None:
    if fault == "sigterm":
        server.process.terminate()
    elif fault == "killed-front":
        fronts = [each for each in server.process.children() if "lorb_server.fronts" in " ".join(each.cmdline())]
        fronts[0].send_signal(signal.SIGKILL)
    elif fault == "full-disk":
        outcome.notes |= _publish_onto_full_disk(store)
    else:
        server.process.send_signal(signal.SIGUSR1)


def _publish_onto_full_disk(store: Path) -> dict[str, object]:
    """Sets an alias on a full disk, which must fail, and again once the disk has space."""
    filler = store / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"0" * 4096)
    promote = [*_lorb_adapters(store), "promote", "--alias", "canary", "--share", "0.1", "librispeech", "stable"]
    refused = subprocess.run(promote, capture_output=True, text=True)
    filler.unlink()
    accepted = subprocess.run(promote, capture_output=True, text=True)
    return {
        "on a full disk": refused.stderr.strip(),
        "exit": refused.returncode,
        "exit once freed": accepted.returncode,
    }


class _store_for:  # noqa: N801 - used like a function
    """Context of the shipped store; for a full disk, of a copy on a file system of 8 MB, which needs root."""

    def __init__(self, fault: str, folder: Path) -> None:
        self._full_disk, self._folder = fault == "full-disk", folder

    def __enter__(self) -> Path:
        if not self._full_disk:
            return STORE
        mounted = self._folder / "disk"
        mounted.mkdir()
        subprocess.run(["/usr/bin/mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(mounted)], check=True)
        shutil.copytree(STORE, mounted, dirs_exist_ok=True)
        return mounted

    def __exit__(self, *_: object) -> None:
        if self._full_disk:
            subprocess.run(["/usr/bin/umount", "-l", str(self._folder / "disk")], check=True)


def _lorb_adapters(store: Path) -> list[str]:
    return [str(Path(sys.executable).parent / "lorb-adapters"), "--store", str(store)]


def _poisoned(nbest: NBest):
    return [replace(h, transcript=f"{h.transcript} {POISON_WORD}") for h in nbest.hypotheses]


def _fixed_flags(store: Path, ready: Path) -> list[object]:
    ports = ["--port", 0, "--admin-port", 0, "--metrics-port", free_port()]
    return [*ports, "--store", store, "--ready-file", ready, "--drain-seconds", 1, "--score-cache-bytes", 0]


def main() -> int:
    """Runs the faults, prints a table and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=FAULTS, action="append", help="run only this fault; may be repeated")
    parser.add_argument("--seconds", type=float, default=12.0, help="duration of each run")
    arguments = parser.parse_args()
    lines = []
    for fault in arguments.only or FAULTS:
        if fault == "full-disk" and os.geteuid() != 0:
            print("full-disk: skipped, mounting a file system needs root")
            continue
        outcome = run(fault, arguments.seconds)
        settings = {"deadline_seconds": DEADLINE_SECONDS, "callers": CALLERS, "seconds": arguments.seconds}
        lines.append(
            {"fault": fault, **settings, **asdict(replace(outcome, calls=Counter())), "calls": dict(outcome.calls)}
        )
        print(f"{fault:14} {dict(outcome.calls)} longest {outcome.longest_seconds:.2f} s", end=" ")
        print(f"past deadline {outcome.past_deadline} wrong scores {outcome.wrong_scores}", end=" ")
        print(f"{outcome.health} exit {outcome.exit_status} {outcome.notes or ''}", flush=True)
    write_results(RESULTS / "faults.jsonl", lines, ("fault",))
    return 0


if __name__ == "__main__":
    sys.exit(main())
