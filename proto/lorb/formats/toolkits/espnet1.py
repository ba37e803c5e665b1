"""ESPnet1's data.json: {"utts": {utterance: {"output": [{"name": "target1[1]", "rec_text", "score", "text"?}, ...]}}}.

As espnet/asr/asr_utils.py (espnet/espnet: add_results_to_json, parse_hypothesis) writes it with --nbest: one entry
of "output" a hypothesis, numbered in its name, best first; "text" repeats the reference; "rec_text" is the tokens
joined, with U+2581 for word beginnings and <eos> at the end. Scores are natural log, higher is better.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from lorb.errors import MalformedFile
from lorb.formats.options import FormatOptions
from lorb.formats.parsing.json_documents import members_within
from lorb.formats.parsing.json_values import checked_array, checked_object, checked_text
from lorb.formats.parsing.lines import whole_text
from lorb.formats.parsing.token_marks import plain_words
from lorb.formats.record import ListRecord
from lorb.formats.warnings import Notices

_NUMBER = re.compile(r"\[([0-9]{1,9})\]$")
_COPIED = ("text", "rec_text", "score", "name")


def read_espnet1(path: Path, options: FormatOptions, notices: Notices) -> Iterator[ListRecord]:
    """Yields the lists of a data.json. Raises MalformedFile."""
    for line, member in members_within(path, whole_text(path), [("utts",)]):
        if not isinstance(member, tuple):
            raise MalformedFile(path, line, '"utts" is not an object')
        utterance, entry = member
        place = f"utterance {utterance[:80]!r}"
        entry = checked_object(entry, path, line, place)
        outputs = checked_array(entry.get("output"), path, line, f'"output" of {place}')
        yield ListRecord.of(_fields(utterance, entry, outputs, path, line, notices), path, line)


def _fields(
    utterance: str, entry: Mapping[str, object], outputs: object, path: Path, line: int, notices: Notices
) -> dict[str, object]:
    entries = [_hypothesis_entry(output, path, line) for output in checked_array(outputs, path, line, '"output"')]
    entries.sort(key=lambda output: _number(output, path, line))
    references = {output["text"] for output in entries if isinstance(output.get("text"), str)}
    if len(references) > 1:
        raise MalformedFile(path, line, f"utterance {utterance[:80]!r} has hypotheses of more than one target")
    hypotheses = [
        {"text": plain_words(checked_text(output["rec_text"], path, line, '"rec_text"'), notices)}
        | {"score": output.get("score")}
        | {key: value for key, value in output.items() if key not in _COPIED and key.startswith("rec_")}
        for output in entries
    ]
    others = {key: value for key, value in entry.items() if key not in ("input", "output")}
    return {**others, **({"ref": references.pop()} if references else {}), "id": utterance, "hyps": hypotheses}


def _hypothesis_entry(output: object, path: Path, line: int) -> Mapping[str, object]:
    if isinstance(output, list):
        raise MalformedFile(path, line, '"output" holds one array for each speaker: give a file of one speaker')
    entry = checked_object(output, path, line, 'an entry of "output"')
    if "rec_text" not in entry:
        raise MalformedFile(path, line, '"output" has no "rec_text": this data.json is not the result of a recognition')
    return entry


def _number(output: Mapping[str, object], path: Path, line: int) -> int:
    name = checked_text(output.get("name"), path, line, '"name" in "output"')
    match = _NUMBER.search(name)
    if match is None:
        raise MalformedFile(path, line, f'the name {name[:80]!r} in "output" has no number, as target1[1] has')
    return int(match[1])
