"""Starts the lorb-serve of a release for a script that injects a fault, and kills it at the end."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks
from results_file import ROOT
from serving_process import START_SECONDS, free_port

STORE = ROOT / "adapters" / "store"


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A server that serves.

    Attributes:
        child: the process.
        ports: the ports in its ready file, by name.
    """

    child: "subprocess.Popen[bytes]"
    ports: dict[str, int]

    @property
    def target(self) -> str:
        """The address of the server."""
        return f"127.0.0.1:{self.ports['port']}"

    def stopped_after_seconds(self, timeout_seconds: float) -> float | None:
        """Sends SIGTERM; returns how long the process took to end, or None if it did not end in time."""
        began = time.monotonic()
        self.child.terminate()
        try:
            self.child.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return None
        return time.monotonic() - began


@contextmanager
def server_process(
    commands: Path, *flags: object, stderr: int | IO[bytes] = subprocess.DEVNULL, prefix: Sequence[str] = ()
) -> Iterator[ServerProcess]:
    """Starts the server of the release in the folder `commands`, and kills it at the end.

    `prefix` is a command that becomes the server, such as `prlimit` with its arguments.

    Raises SystemExit if it does not start.
    """
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.json"
        ports = ("--port", 0, "--admin-port", 0, "--metrics-port", free_port(), "--drain-seconds", 0)
        parts = (*prefix, commands / "lorb-serve", "--store", STORE, "--ready-file", ready, *ports, *flags)
        child = subprocess.Popen([str(part) for part in parts], stderr=stderr)
        try:
            _wait_until_ready(ready, child)
            yield ServerProcess(child, json.loads(ready.read_text()))
        finally:
            child.kill()
            child.wait()


@contextmanager
def stalled_pipe() -> Iterator[int]:
    """The writing end of a pipe that nobody reads: it takes 64 KiB, then writers wait."""
    reading, writing = os.pipe()
    try:
        yield writing
    finally:
        os.close(reading)
        os.close(writing)


def _wait_until_ready(ready: Path, child: "subprocess.Popen[bytes]") -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while not ready.exists():
        if child.poll() is not None or time.monotonic() > give_up_at:
            sys.exit("the server did not start")
        time.sleep(0.05)
