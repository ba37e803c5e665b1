"""Runs a `lorb-serve` process for benchmarks, reads its memory, threads and metrics, and loads it in a closed loop."""

import asyncio
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import psutil
from prometheus_client.parser import text_string_to_metric_families

from lorb_client.calls import CallSettings
from lorb_client.load.call_outcome import CallOutcome, Connections, OutcomeKind

START_SECONDS = 300.0
STOP_SECONDS = 60.0
MIB = 2**20
LORB_SERVE = (str(Path(sys.executable).parent / "lorb-serve"),)


@dataclass(frozen=True, slots=True)
class ServingProcess:
    """A running server.

    Attributes:
        process: the server; front processes are its children.
        ports: the ports in its ready file, by name.
    """

    process: psutil.Process
    ports: dict[str, int]

    @property
    def target(self) -> str:
        """The address of the server."""
        return f"127.0.0.1:{self.ports['port']}"

    def rss_mib(self) -> float:
        """Resident memory of the process and its children."""
        return sum(each.memory_info().rss for each in self._all()) / MIB

    def num_threads(self) -> int:
        """The number of threads of the process and its children."""
        return sum(each.num_threads() for each in self._all())

    def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """The value of each sample, by name and labels."""
        with urlopen(f"http://127.0.0.1:{self.ports['metrics_port']}/metrics", timeout=30) as response:
            text = response.read().decode()
        families = text_string_to_metric_families(text)
        samples = (sample for family in families for sample in family.samples)
        return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels."""
        wanted = set(labels.items())
        return sum(value for (sample, present), value in self.metrics().items() if sample == name and wanted <= present)

    def _all(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


@contextmanager
def serving_process(*flags: object, command: Sequence[str] = LORB_SERVE) -> Iterator[ServingProcess]:
    """Starts a server with these flags and stops it at the end.

    Raises SystemExit with the server's last errors if it does not start or ends with another status than 0.
    """
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as errors:
        ready = Path(folder) / "ready.json"
        fixed = ("--port", 0, "--admin-port", 0, "--metrics-port", free_port(), "--drain-seconds", 0)
        parts = [*command, *fixed, "--log-level", "warning", "--ready-file", ready, *flags]
        child = subprocess.Popen([str(part) for part in parts], stderr=errors)
        try:
            _wait_until(ready.exists, child, errors)
            yield ServingProcess(psutil.Process(child.pid), json.loads(ready.read_text()))
        finally:
            child.terminate()
            status = child.wait(STOP_SECONDS)
        if status != 0:
            sys.exit(f"the server ended with status {status}:\n{_last_lines(errors)}")


def free_port() -> int:
    """A free port on 127.0.0.1, for flags where 0 does not select one, such as --metrics-port."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """The result of callers that wait for each answer before the next call.

    Attributes:
        seconds: duration of the loop.
        latencies_seconds: latency of each call.
        num_scored: number of hypotheses rescored.
    """

    seconds: float
    latencies_seconds: list[float]
    num_scored: int

    def __add__(self, other: "ClosedLoop") -> "ClosedLoop":
        """The sum of two loops."""
        return ClosedLoop(
            self.seconds + other.seconds,
            self.latencies_seconds + other.latencies_seconds,
            self.num_scored + other.num_scored,
        )

    @property
    def calls_per_second(self) -> float:
        """Calls a second."""
        return len(self.latencies_seconds) / self.seconds

    @property
    def hypotheses_per_second(self) -> float:
        """Hypotheses rescored a second."""
        return self.num_scored / self.seconds

    @property
    def median_seconds(self) -> float:
        """The median latency."""
        return statistics.median(self.latencies_seconds)


def closed_loop(
    target: str, requests: Sequence[bytes], num_callers: int, seconds: float, num_connections: int = 4
) -> ClosedLoop:
    """Runs `num_callers` callers for `seconds`. Raises SystemExit if an answer is not rescored in full."""
    return asyncio.run(_closed_loop(target, requests, num_callers, seconds, min(num_connections, num_callers)))


async def _closed_loop(
    target: str, requests: Sequence[bytes], num_callers: int, seconds: float, num_connections: int
) -> ClosedLoop:
    connections = Connections(CallSettings(target), num_connections)
    await connections.open(10.0)
    latencies: list[float] = []
    outcomes: list[CallOutcome] = []
    began = time.monotonic()
    numbers = itertools.count()

    async def call_on() -> None:
        while (sent_at := time.monotonic()) < began + seconds:
            outcomes.append(await connections.send(requests[next(numbers) % len(requests)], 120.0))
            latencies.append(time.monotonic() - sent_at)

    await asyncio.gather(*(call_on() for _ in range(num_callers)))
    took = time.monotonic() - began
    await connections.close()
    degraded = [outcome for outcome in outcomes if outcome.kind is not OutcomeKind.RESCORED]
    if degraded:
        sys.exit(f"{len(degraded)} of {len(outcomes)} calls were not rescored in full, for example {degraded[0]}")
    return ClosedLoop(took, latencies, sum(outcome.num_scored for outcome in outcomes))


def _wait_until(is_ready: Callable[[], bool], child: "subprocess.Popen[bytes]", errors) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while not is_ready():
        if child.poll() is not None or time.monotonic() > give_up_at:
            sys.exit(f"the server did not start:\n{_last_lines(errors)}")
        time.sleep(0.05)


def _last_lines(errors) -> str:
    errors.seek(0)
    return "\n".join(errors.read().decode(errors="replace").splitlines()[-15:])
