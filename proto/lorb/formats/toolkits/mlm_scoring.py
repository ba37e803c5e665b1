"""Reads the format of awslabs/mlm-scoring: {utterance: {"hyp_1": {"score", "text"}, ..., "ref"?}}.

Hypotheses are ordered by the numbers in their keys. The leading space of each text is dropped. Scores are
natural log, higher is better.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from lorb.errors import MalformedFile
from lorb.formats.notices import Notices
from lorb.formats.options import FormatOptions
from lorb.formats.parsing.json_cursor import object_members
from lorb.formats.parsing.lines import read_text
from lorb.formats.record import ListRecord

_HYPOTHESIS_KEY = re.compile(r"hyp_([0-9]{1,9})")


def read_mlm_scoring(path: Path, options: FormatOptions, notices: Notices) -> Iterator[ListRecord]:
    """Yields the lists of an mlm-scoring file. Raises MalformedFile."""
    for line, (utterance, entry) in object_members(path, read_text(path)):
        if not isinstance(entry, dict):
            raise MalformedFile(path, line, f"utterance {utterance[:80]!r} is not an object")
        yield ListRecord.of(_native_fields(utterance, entry, notices), path, line)


def _native_fields(utterance: str, entry: Mapping[str, object], notices: Notices) -> dict[str, object]:
    numbers = {key: int(match[1]) for key in entry if (match := _HYPOTHESIS_KEY.fullmatch(key))}
    others = {key: value for key, value in entry.items() if key not in numbers}
    hypotheses = [_stripped(entry[key], notices) for key in sorted(numbers, key=lambda key: numbers[key])]
    return {"id": utterance} | others | {"id": utterance, "hyps": hypotheses}


def _stripped(hypothesis: object, notices: Notices) -> object:
    if not isinstance(hypothesis, dict) or not isinstance(hypothesis.get("text"), str):
        return hypothesis
    text = hypothesis["text"].strip()
    notices.add("texts with a leading space removed", int(text != hypothesis["text"]))
    return hypothesis | {"text": text}
