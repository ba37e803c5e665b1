"""Starts and controls replicas: server processes with addresses of their own."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

PATIENCE_SECONDS = 600.0  # time-out of every wait for a server


@dataclass
class Replica:
    """A server process.

    Attributes:
        address: 127.0.0.x.
        pid: id of the process.
        ready_file: file that exists once the replica serves.
        metrics_port: port of the metrics on `address`.
        answered: number of lists answered at the last `count`, by outcome.
    """

    address: str
    pid: int
    ready_file: Path
    metrics_port: int
    answered: dict[str, int] = field(default_factory=dict)

    def wait_until_ready(self) -> None:
        """Waits until the replica serves; raises TimeoutError after PATIENCE_SECONDS."""
        limit = time.monotonic() + PATIENCE_SECONDS
        while not self.ready_file.exists():
            if time.monotonic() > limit:
                raise TimeoutError(f"the replica on {self.address} did not start")
            time.sleep(0.05)

    def count(self) -> int:
        """Reads `answered` from the metrics; returns the number of lists answered without an error."""
        with urlopen(f"http://{self.address}:{self.metrics_port}/metrics", timeout=60) as page:
            families = text_string_to_metric_families(page.read().decode())
        answered: dict[str, int] = {}
        for family in families:
            for sample in family.samples:
                if sample.name == "lorb_rescore_requests_total":
                    outcome = sample.labels["outcome"]
                    answered[outcome] = answered.get(outcome, 0) + int(sample.value)
        self.answered = answered
        return sum(number for outcome, number in answered.items() if outcome != "error")

    def kill(self) -> None:
        """Sends SIGKILL, as if a node failed."""
        os.kill(self.pid, signal.SIGKILL)

    def drain(self) -> None:
        """Sends SIGTERM, as when a pod is deleted."""
        os.kill(self.pid, signal.SIGTERM)


def flags(address: str, port: int, metrics_port: int, ready_file: Path, more: Sequence[object]) -> list[str]:
    """The flags of a replica on `address`; it writes `ready_file` once it serves."""
    own = ["--host", address, "--port", port, "--ready-file", ready_file]
    metrics = ["--metrics-host", address, "--metrics-port", metrics_port]
    return [str(part) for part in (*own, *metrics, "--no-admin", "--log-level", "warning", *more)]


@dataclass
class Fleet:
    """Replicas on 127.0.0.2, .3 and so on, all on one port.

    Attributes:
        start: starts a server process with these flags and returns its id.
        folder: folder of the ready files.
        port, metrics_port: ports on every address.
        more_flags: further flags of every server.
        replicas: in the order of their start.
    """

    start: Callable[[list[str]], int]
    folder: Path
    port: int
    metrics_port: int
    more_flags: Sequence[object]
    replicas: list[Replica] = field(default_factory=list)

    def add(self) -> Replica:
        """Starts another replica and returns at once."""
        address = f"127.0.0.{len(self.replicas) + 2}"
        ready_file = self.folder / f"{address}.json"
        pid = self.start(flags(address, self.port, self.metrics_port, ready_file, self.more_flags))
        self.replicas.append(Replica(address, pid, ready_file, self.metrics_port))
        return self.replicas[-1]
