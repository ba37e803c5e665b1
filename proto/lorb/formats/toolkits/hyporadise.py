"""Reads HyPoradise: an array of {"input": [text, ...], "output": reference, "score"?: [number, ...]}.

The key of the scores may also be "am_score". Scores are natural log, higher is better. The texts are in first-pass
order, best first. Short lists are filled up with copies of texts, which NBest.distinct merges. A record without "id" is
named after the file and the record's position, from 1.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from lorb.errors import MalformedFile
from lorb.formats.notices import Notices
from lorb.formats.options import FormatOptions
from lorb.formats.parsing.json_cursor import array_members
from lorb.formats.parsing.lines import read_text
from lorb.formats.record import ListRecord

_SCORE_FIELDS = ("score", "am_score")


def read_hyporadise(path: Path, options: FormatOptions, notices: Notices) -> Iterator[ListRecord]:
    """Yields the lists of a HyPoradise file. Raises MalformedFile."""
    for number, (line, entry) in enumerate(array_members(path, read_text(path)), start=1):
        if not isinstance(entry, dict):
            raise MalformedFile(path, line, f"record {number} is not an object")
        fields = _native_fields(entry, path, line)
        notices.add("lists named after their file and position", int("id" not in fields))
        yield ListRecord.of({"id": f"{path.name}-{number}", **fields}, path, line)


def _native_fields(entry: Mapping[str, object], path: Path, line: int) -> dict[str, object]:
    converted = {"input", "output", *_SCORE_FIELDS}
    others = {key: value for key, value in entry.items() if key not in converted and value is not None}
    if isinstance(others.get("id"), int):
        others["id"] = str(others["id"])
    reference = {} if entry.get("output") is None else {"ref": entry["output"]}
    return {**others, **reference, "hyps": _hypotheses(entry, path, line)}


def _hypotheses(entry: Mapping[str, object], path: Path, line: int) -> list[dict[str, object]]:
    texts = entry.get("input")
    if not isinstance(texts, list):
        raise MalformedFile(path, line, '"input" is not an array of texts')
    name = next((name for name in _SCORE_FIELDS if entry.get(name) is not None), None)
    if name is None:
        return [{"text": text} for text in texts]
    scores = entry[name]
    if not isinstance(scores, list) or len(scores) != len(texts):
        raise MalformedFile(
            path, line, f'"{name}" is not an array of {len(texts)} numbers, one for each text of "input"'
        )
    return [{"text": text, "score": score} for text, score in zip(texts, scores, strict=True)]
