"""Records of cells, one JSON file each; a file is whole or not there."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from study.harness.cell import Cell

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Record:
    """What became of a cell.

    Attributes:
        key: the cell's.
        settings: of its work.
        figures: what the work returned.
        facts: command, date, device, versions, seconds and load: how the figures came to be.
    """

    key: Mapping[str, Any]
    settings: Mapping[str, Any]
    figures: Mapping[str, Any]
    facts: Mapping[str, Any]

    def has(self, **key: object) -> bool:
        """Whether the key has these values."""
        return all(self.key.get(name) == value for name, value in key.items())


class Records:
    """The records of one table, in a folder of its name."""

    def __init__(self, results: Path, table: str) -> None:
        self.folder = results / table

    def path(self, cell: Cell) -> Path:
        """Where a cell's record is, or will be."""
        return self.folder / f"{cell.name}.json"

    def get(self, cell: Cell) -> Record | None:
        """A cell's record; None where it is not done."""
        path = self.path(cell)
        return read_record(path) if path.exists() else None

    def all(self) -> Iterator[Record]:
        """Every record, by name."""
        return map(read_record, sorted(self.folder.glob("*.json")))

    def find(self, **key: object) -> list[Record]:
        """Those whose keys have these values."""
        return [record for record in self.all() if record.has(**key)]

    def write(self, cell: Cell, figures: Mapping[str, Any], facts: Mapping[str, Any]) -> Record:
        """Keeps what a cell came to."""
        record = Record(dict(cell.key), cell.work.settings(), dict(figures), dict(facts))
        write_whole(self.path(cell), to_json(record))
        return record


def read_record(path: Path) -> Record:
    """A record; raises ValueError, naming the file, where it is none."""
    return _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4096)  # a table is asked for its cells after each, and reads the same records
def _read(path: Path, written: int) -> Record:
    del written  # another time is another record
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema_version is {content['schema_version']}, not {SCHEMA_VERSION}")
        return Record(content["key"], content["settings"], content["figures"], content["facts"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a cell's record: {error}") from error


def to_json(record: Record) -> str:
    """As it stands in its file."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "key": record.key,
        "facts": record.facts,
        "settings": record.settings,
        "figures": record.figures,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def write_whole(path: Path, text: str) -> None:
    """Writes a file that is never seen half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
