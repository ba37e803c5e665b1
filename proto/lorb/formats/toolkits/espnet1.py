"""Reads ESPnet1 data.json: {"utts": {utterance: {"output": [{"name": "target1[1]", "rec_text", "score", "text"?}]}}}.

Source: add_results_to_json and parse_hypothesis with --nbest (espnet/espnet, espnet/asr/asr_utils.py). Each entry of
"output" is a hypothesis. Its "name" contains its rank, and its "text" repeats the reference. Its "rec_text" joins the
tokens, with U+2581 at word beginnings and <eos> at the end. Scores are natural log, higher is better.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from lorb.errors import MalformedFile
from lorb.formats.notices import Notices
from lorb.formats.options import FormatOptions
from lorb.formats.parsing.json_cursor import members_at
from lorb.formats.parsing.lines import read_text
from lorb.formats.parsing.token_marks import strip_token_marks
from lorb.formats.parsing.values import require_array, require_object, require_text
from lorb.formats.record import ListRecord

_RANK = re.compile(r"\[([0-9]{1,9})\]$")
_CONVERTED = ("text", "rec_text", "score", "name")


def read_espnet1(path: Path, options: FormatOptions, notices: Notices) -> Iterator[ListRecord]:
    """Yields the lists of a data.json. Raises MalformedFile."""
    for line, member in members_at(path, read_text(path), [("utts",)]):
        if not isinstance(member, tuple):
            raise MalformedFile(path, line, '"utts" is not an object')
        utterance, entry = member
        place = f"utterance {utterance[:80]!r}"
        entry = require_object(entry, path, line, place)
        outputs = require_array(entry.get("output"), path, line, f'"output" of {place}')
        yield ListRecord.of(_fields(utterance, entry, outputs, path, line, notices), path, line)


def _fields(
    utterance: str, entry: Mapping[str, object], outputs: object, path: Path, line: int, notices: Notices
) -> dict[str, object]:
    entries = [_hypothesis_entry(output, path, line) for output in require_array(outputs, path, line, '"output"')]
    entries.sort(key=lambda output: _rank(output, path, line))
    references = {output["text"] for output in entries if isinstance(output.get("text"), str)}
    if len(references) > 1:
        raise MalformedFile(
            path, line, f"utterance {utterance[:80]!r} has hypotheses of more than one target: give a file with one"
        )
    hypotheses = [
        {"text": strip_token_marks(require_text(output["rec_text"], path, line, '"rec_text"'), notices)}
        | {"score": output.get("score")}
        | {key: value for key, value in output.items() if key not in _CONVERTED and key.startswith("rec_")}
        for output in entries
    ]
    others = {key: value for key, value in entry.items() if key not in ("input", "output")}
    return {**others, **({"ref": references.pop()} if references else {}), "id": utterance, "hyps": hypotheses}


def _hypothesis_entry(output: object, path: Path, line: int) -> Mapping[str, object]:
    if isinstance(output, list):
        raise MalformedFile(path, line, '"output" holds one array for each speaker: give a file with one speaker')
    entry = require_object(output, path, line, 'an entry of "output"')
    if "rec_text" not in entry:
        raise MalformedFile(path, line, '"output" has no "rec_text": this data.json is not a decoding result')
    return entry


def _rank(output: Mapping[str, object], path: Path, line: int) -> int:
    name = require_text(output.get("name"), path, line, '"name" in "output"')
    match = _RANK.search(name)
    if match is None:
        raise MalformedFile(path, line, f'the name {name[:80]!r} in "output" has no rank, such as 1 in target1[1]')
    return int(match[1])
