"""Upgrades two replicas from another release to this one and back, under load, on one store.

    python benchmarks/resilience/rolling_upgrade.py --before FOLDER

FOLDER is a checkout of the other release. Clients of both releases call both replicas without pause. The replicas are
replaced one at a time: other release, mixed, this release, mixed, other release. In each phase `stable` moves, by turns
with each release's `lorb-adapters`. Checks that no call fails, that a version's scores are the same from both releases,
and that every phase serves the version that was promoted. Counts the answers that are not rescored in full. Writes
`benchmarks/results/rolling_upgrade.jsonl`.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks
from flips_under_load import publication

from lorb.formats import read_nbest_lists
from lorb_adapters.base.loader import load_base
from lorb_adapters.model import RescoringModel
from lorb_adapters.store.store import Store
from results_file import RESULTS, ROOT, write_results
from serving_process import free_port

SOURCE_FOLDERS = ("proto", "adapters", "server", "client")
LISTS = ROOT / "tests" / "data" / "librispeech" / "dev.jsonl.gz"
BASE = "rescore-minilm"
DOMAIN = "librispeech"
CALLER = Path(__file__).with_name("upgrade_caller.py")
TOLERANCE = 1e-4
START_SECONDS = 120.0
STOP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Release:
    """A checkout, run with this Python and its packages."""

    name: str
    folder: Path

    def run(self, command: str, *arguments: object) -> "subprocess.Popen[bytes]":
        """Starts a command: the name of a module with a `main`, or the path of a script."""
        code = f"import sys; from {command} import main; sys.exit(main(sys.argv[1:]))"
        what = (command,) if command.endswith(".py") else ("-P", "-c", code)
        path = os.pathsep.join(str(self.folder / each) for each in SOURCE_FOLDERS)
        # stdin closed: nothing may ask
        return subprocess.Popen(
            [sys.executable, *what, *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": path}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        )  # fmt: skip

    def promote(self, store: Path, version: str) -> None:
        """Points `stable` at a version with this release's lorb-adapters."""
        process = self.run("lorb_adapters.cli.adapters", "--store", store, "promote", DOMAIN, version)
        if process.wait(STOP_SECONDS):
            sys.exit(f"lorb-adapters promote of {self.name} ended with status {process.returncode}")


@dataclass
class Replica:
    """One port, served by one release at a time."""

    port: int
    store: Path
    process: "subprocess.Popen[bytes] | None" = None
    served_by: str = ""

    def replace(self, release: Release) -> None:
        """Stops the server with SIGTERM, and starts a release's server on the same port."""
        self.stop()
        ready = self.store.parent / f"ready-{self.port}.json"
        ready.unlink(missing_ok=True)
        self.process = release.run(
            "lorb_server.cli", "--store", self.store, "--base", BASE, "--port", self.port, "--no-admin",
            "--metrics-port", 0,
            "--drain-seconds", 1, "--poll-seconds", 0.2, "--log-level", "warning", "--ready-file", ready,
        )  # fmt: skip
        give_up_at = time.monotonic() + START_SECONDS
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > give_up_at:
                sys.exit(f"the server of {release.name} did not start")
            time.sleep(0.05)
        self.served_by = release.name

    def stop(self) -> None:
        """Stops the server, if there is one. Raises SystemExit if it ends with another status than 0."""
        if self.process is None:
            return
        self.process.terminate()
        status, self.process = self.process.wait(STOP_SECONDS), None
        if status:
            sys.exit(f"the server of {self.served_by} ended with status {status}")


@dataclass
class Findings:
    """What the callers of all releases saw."""

    calls: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    not_rescored: Counter[str] = field(default_factory=Counter)
    wrong_scores: int = 0
    versions_by_phase: dict[str, set[str]] = field(default_factory=dict)
    _scores: dict[tuple[str, int], Sequence[float]] = field(default_factory=dict)

    def add(self, client: str, lines: Iterator[dict[str, Any]]) -> None:
        """Adds a caller's lines, one for each call."""
        for line in lines:
            self.calls[client] += 1
            if "error" in line:
                self.failures.append(f"{client}, {line['phase']}: {line['error']}")
                continue
            if line["outcome"] != "rescored":
                self.not_rescored[f"{line['outcome']}, {line['reason']}"] += 1
                continue
            self.versions_by_phase.setdefault(line["phase"], set()).add(line["version"])
            first = self._scores.setdefault((line["version"], line["list"]), line["scores"])
            same = all(abs(a - b) <= TOLERANCE * max(1.0, abs(a)) for a, b in zip(first, line["scores"], strict=True))
            self.wrong_scores += not same


@contextmanager
def callers(releases: Sequence[Release], ports: Sequence[int], phase: Path) -> Iterator[Findings]:
    """Runs a caller of each release; the findings are complete at the end of the block."""
    findings = Findings()
    target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
    outputs = {each.name: phase.with_name(f"calls-{i}.jsonl") for i, each in enumerate(releases)}
    started = [each.run(str(CALLER), target, LISTS, DOMAIN, phase, outputs[each.name]) for each in releases]
    try:
        yield findings
    finally:
        phase.write_text("end")
        for process in started:
            process.wait(STOP_SECONDS)
        for name, path in outputs.items():
            findings.add(name, map(json.loads, path.read_text().splitlines()))


def _publish(store: Path) -> str:
    """Publishes a random adapter with this release, beside the shipped one of an older release; returns its version."""
    base = load_base(BASE)
    lists = read_nbest_lists([LISTS])[:2]
    made = publication(base, RescoringModel(base), lists, seed=0)
    return Store(str(store)).publish(replace(made, domain=DOMAIN), set_stable=False)


def run(before: Release, now: Release, folder: Path, seconds: float) -> tuple[Findings, dict[str, str]]:
    """Goes through the five phases. Returns the findings and the version that each phase promoted."""
    store, phase = folder / "store", folder / "phase"
    shutil.copytree(ROOT / "adapters" / "store", store)
    versions = [*(each.name for each in (store / DOMAIN / "versions").iterdir()), _publish(store)]
    phase.write_text("starting")
    replicas = [Replica(free_port(), store) for _ in range(2)]
    promoted: dict[str, str] = {}
    steps = [(0, before), (0, now), (1, now), (0, before), (1, before)]
    with ExitStack() as stack:
        for replica in replicas:
            stack.callback(replica.stop)
            replica.replace(before)
        findings = stack.enter_context(callers((before, now), [each.port for each in replicas], phase))
        for number, (index, release) in enumerate(steps):
            if replicas[index].served_by != release.name:
                phase.write_text(f"{number}: replacing")
                replicas[index].replace(release)
            version, promoter = versions[number % 2], (before, now)[number % 2]
            phase.write_text(f"{number}: promoting")
            promoter.promote(store, version)
            time.sleep(3.0)  # longer than a poll and a verification
            name = f"{number}: servers {replicas[0].served_by} + {replicas[1].served_by}"
            promoted[name] = version
            phase.write_text(name)
            time.sleep(seconds)
        phase.write_text("end")
    return findings, promoted


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each phase")
    args = parser.parse_args()
    before, now = Release("before", args.before.resolve()), Release("this", ROOT)
    with tempfile.TemporaryDirectory() as folder:
        findings, promoted = run(before, now, Path(folder), args.seconds)
    wrong_phases = [name for name, version in promoted.items() if findings.versions_by_phase.get(name) != {version}]
    figures = {
        "calls": dict(findings.calls), "failed": len(findings.failures), "not_rescored": dict(findings.not_rescored),
        "wrong_scores": findings.wrong_scores, "phases": len(promoted), "phases_with_another_version": wrong_phases,
    }  # fmt: skip
    write_results(RESULTS / "rolling_upgrade.jsonl", [{"base": "minilm", **figures}], ("base",))
    print(json.dumps(figures, indent=2))
    print("\n".join(findings.failures[:10]))
    is_right = not (findings.failures or findings.wrong_scores or wrong_phases)
    return 0 if is_right and all(findings.calls.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
