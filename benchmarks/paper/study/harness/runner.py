"""Runs the unfinished cells of a table and reports progress."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from study.harness.cell import Cell, CellContext
from study.harness.records import Record, Records, settings_digest
from study.harness.sizes import Size
from study.harness.table import Table
from study.harness.workers import Outcome, Workers, device_name

Say = Callable[[str], None]
_MAX_TRIES = 2


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of a study.

    Attributes:
        results: records and pages of one size; committed.
        scratch: weights, checkpoints and logs of one size; not committed.
        sets: the prepared lists.
    """

    results: Path
    scratch: Path
    sets: Path


@dataclass
class Run:
    """A run over a table's cells.

    Attributes:
        minutes: no cell starts after this time; 0: no limit.
        only: run cells whose names contain this; empty: all.
    """

    table: Table
    size: Size
    folders: Folders
    say: Say
    device: str = "cpu"
    threads: int = 1
    jobs: int = 1
    minutes: float = 0.0
    only: str = ""
    _tries: dict[str, int] = field(default_factory=dict)
    _seconds: float = 0.0
    _cost: float = 0.0

    @property
    def records(self) -> Records:
        """The records of the table."""
        return Records(self.folders.results, self.table.name)

    def left(self) -> list[Cell]:
        """The known cells without a record, including failed ones."""
        cells = self.table.cells(self.size, self.records)
        return [each for each in cells if self.only in each.name and self.records.get(each) is None]

    def share(self) -> int:
        """Copies records of other tables' cells with the same settings; returns the number of copies.

        Only records from this kind of device are copied, because a table compares times and memory, and because
        processors differ in the dtype that they train in.
        """
        here = device_name(self.device)
        done = {
            record.settings: (table, record)
            for table, record in self._of_all_tables()
            if record.facts["device"] == here
        }
        shared = 0
        for cell in self.left():
            found = done.get(settings_digest(cell.work))
            if found is None:
                continue
            table, record = found
            with suppress(KeyError):  # the other table lacks a figure, so this table runs the cell
                kept = self.table.kept(cell.key, record.figures)
                self.records.write(cell, kept, {**record.facts, "done_as": table})
                shared += 1
        return shared

    def do(self) -> int:
        """Runs the cells that are left; returns the number that failed. After Ctrl-C a new run continues."""
        started = time.monotonic()
        workers = Workers(self.jobs, self.threads)
        try:
            while True:
                self.share()
                for cell in self._startable(workers):
                    if self.minutes and time.monotonic() - started > 60 * self.minutes:
                        break
                    workers.start(cell, self._context(cell))
                if not workers.cells:
                    break
                for outcome in workers.wait():
                    self._take(outcome)
        finally:
            workers.close()
        return sum(tries >= _MAX_TRIES for tries in self._tries.values())

    def _startable(self, workers: Workers) -> Iterator[Cell]:
        busy = {cell.name for cell in workers.cells}
        for cell in self.left():
            if not workers.has_room:
                return
            if cell.name not in busy and self._tries.get(cell.name, 0) < _MAX_TRIES:
                yield cell

    def _context(self, cell: Cell) -> CellContext:
        scratch = self.folders.scratch / self.table.name / cell.name
        return CellContext(scratch, self.folders.sets, self.folders.results, self.device, self.threads)

    def _take(self, outcome: Outcome) -> None:
        cell = outcome.cell
        if outcome.figures is None:
            self._tries[cell.name] = self._tries.get(cell.name, 0) + 1
            log = self._context(cell).scratch / "log.txt"
            self.say(f"{cell.name}: failed, {outcome.problem} (try {self._tries[cell.name]}; {log})")
            return
        self._tries.pop(cell.name, None)
        self.records.write(cell, self.table.kept(cell.key, outcome.figures), outcome.facts)
        self._seconds += outcome.facts["seconds"]
        self._cost += cell.cost
        left = self.left()
        minutes = sum(each.cost for each in left) * self._seconds / self._cost / 60 / self.jobs
        remaining = f"{len(left)} cells left, {minutes:.1f} min" if left else "none left"
        self.say(f"{cell.name}: {outcome.facts['seconds']:.1f} s  {remaining}")

    def _of_all_tables(self) -> Iterator[tuple[str, Record]]:
        for path in sorted(self.folders.results.glob("table*.jsonl")):
            for record in Records(self.folders.results, path.stem).all():
                if "done_as" not in record.facts:
                    yield path.stem, record
