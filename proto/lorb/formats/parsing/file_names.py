"""Derives list ids from file names, and finds the numbered folders of parallel jobs."""

import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

from lorb.errors import MalformedFile
from lorb.formats.record import ListRecord

_SUFFIXES = (".gz", ".Z", ".json", ".jsonl", ".tsv", ".txt", ".score", ".nbest")


def file_stem(path: Path) -> str:
    """Returns the file name without its last suffixes for compression and format: "a.1" for "a.1.json.gz"."""
    name = path.name
    for suffix in (suffix for _ in range(2) for suffix in _SUFFIXES):
        name = name.removesuffix(suffix) or name
    return name


def named_records(path: Path, numbered_fields: Iterable[tuple[int, dict[str, object]]]) -> Iterator[ListRecord]:
    """Makes records from pairs (line, fields in the native shape), and adds an "id" if it is missing or not text.

    A single list is named after the file, NAME; several lists are named NAME-1, NAME-2, ... Raises MalformedFile.
    """
    remaining = iter(numbered_fields)
    first_two = list(islice(remaining, 2))
    name = file_stem(path)
    for number, (line, fields) in enumerate(chain(first_two, remaining), start=1):
        own_id = fields.get("id") if isinstance(fields.get("id"), str) else None
        list_id = own_id or (name if len(first_two) == 1 else f"{name}-{number}")
        yield ListRecord.of({**fields, "id": list_id}, path, line)


def numbered_folders(parent: Path, prefix: str, suffix: str = "") -> list[Path]:
    """Returns the folders in `parent` whose names are `prefix`, n and `suffix`, for n = 1, 2, ... in numerical order.

    Raises MalformedFile if a number is missing. Otherwise nobody would notice that the utterances of a job are lost.
    """
    name = re.compile(rf"{re.escape(prefix)}([1-9][0-9]{{0,8}}){re.escape(suffix)}")
    matches = ((name.fullmatch(folder.name), folder) for folder in parent.glob(f"{prefix}*{suffix}") if folder.is_dir())
    numbered = {int(match[1]): folder for match, folder in matches if match}
    for number in range(1, len(numbered) + 1):
        if number not in numbered:
            raise MalformedFile(
                parent, 0, f"{prefix}{number}{suffix} is missing, but {prefix}{max(numbered)}{suffix} exists"
            )
    return [numbered[number] for number in sorted(numbered)]
