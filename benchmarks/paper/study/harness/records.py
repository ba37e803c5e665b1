"""The results of a table's cells: a JSON-lines file for each table, a line for each cell."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from study.harness.cell import Cell, Work, name_of
from study.harness.json_lines import append_line, read_lines, remove_lines

_DIGITS = 10


@dataclass(frozen=True, slots=True)
class Record:
    """The result of a cell.

    Attributes:
        key: the cell's key.
        figures: the figures that the table keeps.
        facts: command, date, device, versions, seconds and load average.
        settings: digest of the work's settings.
    """

    key: Mapping[str, Any]
    figures: Mapping[str, Any]
    facts: Mapping[str, Any]
    settings: str

    @property
    def name(self) -> str:
        """The cell's name."""
        return name_of(self.key)

    def has(self, **key: object) -> bool:
        """Whether the key has these values."""
        return all(self.key.get(name) == value for name, value in key.items())


class Records:
    """The records of one table in a folder of results."""

    def __init__(self, results: Path, table: str) -> None:
        self.results = results
        self.path = results / f"{table}.jsonl"

    def get(self, cell: Cell) -> Record | None:
        """A cell's record; None if the cell is not done."""
        return self._by_name().get(cell.name)

    def all(self) -> Iterator[Record]:
        """Every record, ordered by name."""
        return iter(self._by_name().values())

    def find(self, **key: object) -> list[Record]:
        """The records whose keys have these values."""
        return [record for record in self.all() if record.has(**key)]

    def write(self, cell: Cell, figures: Mapping[str, Any], facts: Mapping[str, Any]) -> Record:
        """Appends a cell's record."""
        record = Record(dict(cell.key), rounded(figures), dict(facts), settings_digest(cell.work))
        append_line(self.path, to_json(record))
        return record

    def forget(self, text: str) -> None:
        """Removes the records whose names contain `text`."""
        remove_lines(self.path, lambda line: text in name_of(line["key"]))

    def _by_name(self) -> Mapping[str, Record]:
        if not self.path.exists():
            return {}
        status = self.path.stat()
        return _read(self.path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)  # a table lists its cells after each finished one, and reads the same records again
def _read(path: Path, modified: int, size: int) -> Mapping[str, Record]:
    del modified, size  # part of the cache's key
    found = {}
    for number, line in enumerate(read_lines(path), start=1):
        try:
            record = Record(line["key"], line["figures"], line["facts"], line["settings"])
        except KeyError as error:
            raise ValueError(f"{path}:{number} is not a cell's record: it has no {error}") from error
        found[record.name] = record
    return dict(sorted(found.items()))


def to_json(record: Record) -> dict[str, Any]:
    """A record as a JSON object."""
    return {"key": record.key, "figures": record.figures, "facts": record.facts, "settings": record.settings}


def settings_digest(work: Work) -> str:
    """A digest of the work's settings, in hex."""
    return hashlib.sha256(json.dumps(work.settings(), sort_keys=True).encode()).hexdigest()[:16]


def rounded(value: Any) -> Any:
    """JSON with its numbers rounded to ten significant digits."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, Mapping):
        return {name: rounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]
    return value
