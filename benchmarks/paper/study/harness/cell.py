"""A cell of a table: one piece of work and the key that identifies it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

Key = Mapping[str, str | int | float]
_ODD_CHARACTERS = re.compile(r"[^A-Za-z0-9._+-]+")


@dataclass(frozen=True, slots=True)
class CellContext:
    """The folders and the device of a cell.

    Attributes:
        scratch: the cell's folder for weights and checkpoints, kept between tries and never committed.
        sets: folder of the prepared lists.
        results: the size's folder of results, with a file for each table; committed.
        device: cpu or cuda.
        threads: number of processor threads.
    """

    scratch: Path
    sets: Path
    results: Path
    device: str = "cpu"
    threads: int = 1


class Work(Protocol):
    """The work of a cell: a frozen dataclass, pickled for the process that runs it."""

    def settings(self) -> dict[str, Any]:
        """The settings that decide the result, as JSON. Works with equal settings share one result."""

    def command(self) -> str:
        """The command that does the same by hand, for the record."""

    def run(self, context: CellContext) -> dict[str, Any]:
        """Runs the work and returns its figures, as JSON."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table.

    Attributes:
        key: domain, method, seed, ...; its values make the name, in this order.
        work: what to do.
        cost: relative running time, which estimates the time left; each table chooses the unit.
    """

    key: Key
    work: Work = field(compare=False)
    cost: float = field(default=1.0, compare=False)

    @property
    def name(self) -> str:
        """The name that identifies the cell in records and logs."""
        return name_of(self.key)


def name_of(key: Key) -> str:
    """Joins the values of a key; numbers follow the names of their fields."""
    parts = (value if isinstance(value, str) else f"{name}{value:g}" for name, value in key.items())
    return "-".join(_ODD_CHARACTERS.sub("_", part) for part in parts)
