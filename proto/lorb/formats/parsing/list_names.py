"""Names for lists whose file gives them none: the file's own, as one result is kept for each recording."""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

from lorb.formats.record import ListRecord

_ENDINGS = (".gz", ".Z", ".json", ".jsonl", ".tsv", ".txt", ".score", ".nbest")


def bare_name(path: Path) -> str:
    """The file's name without the endings of packing and format: "a.1" of "a.1.json.gz"."""
    name = path.name
    for ending in (ending for _ in range(2) for ending in _ENDINGS):
        name = name.removesuffix(ending) or name
    return name


def named_records(path: Path, numbered_fields: Iterable[tuple[int, dict[str, object]]]) -> Iterator[ListRecord]:
    """Checks (line, fields in the native shape) and names those without a text "id". Raises MalformedFile.

    The name is NAME, the file's, where the file has one list alone, else NAME-1, NAME-2, ...
    """
    remaining = iter(numbered_fields)
    start = list(islice(remaining, 2))
    name = bare_name(path)
    for number, (line, fields) in enumerate(chain(start, remaining), start=1):
        own = fields.get("id") if isinstance(fields.get("id"), str) else None
        utterance = own or (name if len(start) == 1 else f"{name}-{number}")
        yield ListRecord.of({**fields, "id": utterance}, path, line)
