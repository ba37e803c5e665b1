"""A cell of a table: one thing to do once, and the key that tells it from the others."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

Key = Mapping[str, str | int | float]
_ODD_CHARACTERS = re.compile(r"[^A-Za-z0-9._+-]+")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cell is done.

    Attributes:
        scratch: the cell's own folder, kept between tries; weights and checkpoints lie there, never committed.
        sets: the prepared lists (study.lists.sets).
        results: of this size, with a folder for each table; committed.
        device: cpu or cuda.
        threads: of the processor.
    """

    scratch: Path
    sets: Path
    results: Path
    device: str = "cpu"
    threads: int = 1


class Work(Protocol):
    """What is done in a cell: a frozen dataclass, which a process of its own gets by pickle."""

    def settings(self) -> dict[str, Any]:
        """All that decides the result, as JSON: two works with equal settings are one work."""

    def command(self) -> str:
        """The command of ours that does the same by hand, for the record."""

    def run(self, place: Place) -> dict[str, Any]:
        """Does it and returns the figures, as JSON."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell.

    Attributes:
        key: domain, method, seed, ...; its values make the name, in this order.
        work: what to do.
        cost: in any unit that is the same for all cells of a table, for the time left.
    """

    key: Key
    work: Work = field(compare=False)
    cost: float = field(default=1.0, compare=False)

    @property
    def name(self) -> str:
        """As its file is called."""
        return name_of(self.key)


def name_of(key: Key) -> str:
    """Texts as they are, numbers behind the name of what they are."""
    parts = (value if isinstance(value, str) else f"{name}{value:g}" for name, value in key.items())
    return "-".join(_ODD_CHARACTERS.sub("_", part) for part in parts)
