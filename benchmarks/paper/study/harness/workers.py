"""Runs each cell in a worker process, forked from a server process that has only imported torch."""

import multiprocessing
import os
import platform
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from study.harness.cell import Cell, CellContext

_PRELOADED = ["lorb_adapters.training.run", "lorb_adapters.training.cli.arguments"]
_LIBRARIES = ("torch", "transformers", "numpy")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a cell.

    Attributes:
        cell: the cell.
        figures: its figures; None if it failed.
        facts: command, date, device, versions and times, for its record.
        problem: the reason of a failure, in one line; the log in the scratch folder has details.
    """

    cell: Cell
    figures: dict[str, Any] | None
    facts: dict[str, Any]
    problem: str = ""


class Workers:
    """Up to `jobs` processes that run one cell each."""

    def __init__(self, jobs: int, threads: int) -> None:
        self._jobs = jobs
        self._context = multiprocessing.get_context("forkserver")
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(threads)
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self._context.set_forkserver_preload(_PRELOADED)
        self._at_work: dict[Connection, tuple[Cell, ForkServerProcess]] = {}

    @property
    def cells(self) -> list[Cell]:
        """The cells that run."""
        return [cell for cell, _ in self._at_work.values()]

    @property
    def has_room(self) -> bool:
        """Whether another cell may be started."""
        return len(self._at_work) < self._jobs

    def start(self, cell: Cell, context: CellContext) -> None:
        """Starts a cell."""
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_do, args=(cell, context, theirs), name=cell.name)
        process.start()
        theirs.close()
        self._at_work[ours] = (cell, process)

    def wait(self) -> list[Outcome]:
        """Waits for at least one cell to end; returns the outcomes."""
        return [self._end(ours) for ours in wait(list(self._at_work)) if isinstance(ours, Connection)]

    def close(self) -> None:
        """Terminates the running processes; trainings keep their checkpoints."""
        for _, process in self._at_work.values():
            process.terminate()
        for _, process in self._at_work.values():
            process.join()
        self._at_work.clear()

    def _end(self, ours: Connection) -> Outcome:
        cell, process = self._at_work.pop(ours)
        try:
            outcome: Outcome = ours.recv()
        except EOFError:
            process.join()
            outcome = Outcome(cell, None, {}, f"its process ended with status {process.exitcode}")
        process.join()
        ours.close()
        return outcome


def _do(cell: Cell, context: CellContext, out: Connection) -> None:
    context.scratch.mkdir(parents=True, exist_ok=True)
    _redirect(context.scratch / "log.txt")
    with suppress(KeyboardInterrupt):  # the parent is interrupted too, and reports it
        out.send(do(cell, context))


def do(cell: Cell, context: CellContext) -> Outcome:
    """Runs a cell in this process."""
    import torch

    torch.set_num_threads(context.threads)
    load, started, cpu_started = os.getloadavg()[0], time.perf_counter(), time.process_time()
    try:
        figures = cell.work.run(context)
    except Exception as error:  # other cells continue
        traceback.print_exc()
        return Outcome(cell, None, {}, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
    facts = {
        "command": cell.work.command(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "device": device_name(context.device),
        "threads": context.threads,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES},
        "seconds": round(time.perf_counter() - started, 2),
        "cpu_seconds": round(time.process_time() - cpu_started, 2),
        "load_average": [round(load, 2), round(os.getloadavg()[0], 2)],
    }
    return Outcome(cell, figures, facts)


def _redirect(log: Path) -> None:
    """Sends the output of a cell to a file."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(file, stream.fileno())
    os.close(file)


def device_name(device: str) -> str:
    """The model of the processor or GPU. device: cpu or cuda.

    A processor's name includes torch's instruction sets, because hypervisors give several generations one name.
    """
    import torch

    if device != "cpu":
        return str(torch.cuda.get_device_name(device))
    bf16 = ", bf16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else ""
    return f"{_processor_model()} ({torch.backends.cpu.get_cpu_capability()}{bf16})"


def _processor_model() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
