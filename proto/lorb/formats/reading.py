"""Reading N-best lists of any known format, with the checks that concern more than one list."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from lorb.errors import InvalidInput, MalformedFile
from lorb.formats.hyporadise import read_hyporadise
from lorb.formats.lines import numbered_lines
from lorb.formats.mlm_scoring import read_mlm_scoring
from lorb.formats.native import read_native
from lorb.formats.record import ListRecord
from lorb.nbest import NBest

_READERS: Mapping[str, Callable[[Path], Iterator[ListRecord]]] = {
    "native": read_native,
    "mlm-scoring": read_mlm_scoring,
    "hyporadise": read_hyporadise,
}
FORMATS = ("auto", *_READERS)

_MLM_SCORING_KEY = re.compile(r'"hyp_[0-9]+"\s*:')
_LINES_LOOKED_AT = 10  # a pretty-printed mlm-scoring file has its first "hyp_1" on the third


def read_nbest_lists(
    paths: Sequence[Path],
    *,
    format: str = "auto",  # noqa: A002 - named as the command lines name it
    require_references: bool = False,
) -> list[NBest]:
    """The lists of all files, in order. Raises as read_list_records does."""
    records = read_list_records(paths, format=format, require_references=require_references)
    return [record.nbest for record in records]


def read_list_records(
    paths: Sequence[Path],
    *,
    format: str = "auto",  # noqa: A002 - named as the command lines name it
    require_references: bool = False,
) -> list[ListRecord]:
    """The lists of all files with every field they have, in order.

    Raises:
        MalformedFile: a file breaks its format, has no lists, lacks a reference where they are required, or
            an id comes twice, in one file or across them. Names the file and the line.
        InvalidInput: `format` is not one of FORMATS.
    """
    if format not in FORMATS:
        raise InvalidInput(f"format {format!r} is not one of {', '.join(FORMATS)}", field="format")
    first_seen: dict[str, ListRecord] = {}
    for path in paths:
        num_before = len(first_seen)
        for record in _READERS[detected_format(path) if format == "auto" else format](path):
            _check(record, first_seen, require_references)
            first_seen[record.nbest.id] = record
        if len(first_seen) == num_before:
            raise MalformedFile(path, 1, "the file holds no lists")
    return list(first_seen.values())


def detected_format(path: Path) -> str:
    """The format that a file's first lines look like; native where they look like none."""
    head = [text for _, text in islice(numbered_lines(path), _LINES_LOOKED_AT)]
    if head[0].lstrip().startswith("["):
        return "hyporadise"
    if '"hyps"' not in head[0] and _MLM_SCORING_KEY.search("".join(head)):
        return "mlm-scoring"
    return "native"


def _check(record: ListRecord, first_seen: Mapping[str, ListRecord], require_references: bool) -> None:
    utterance = record.nbest.id
    if utterance in first_seen:
        first = first_seen[utterance]
        raise MalformedFile(
            record.path, record.line, f"id {utterance!r} comes twice: first at {first.path}:{first.line}"
        )
    if require_references and record.nbest.reference is None:
        raise MalformedFile(record.path, record.line, f"list {utterance!r} has no reference")
