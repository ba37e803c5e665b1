"""Reads responses of Google Speech-to-Text: {"results": [{"alternatives": [{"transcript", "confidence"?}, ...]}, ...]}.

speech:recognize returns this document. A finished operation of speech:longrunningrecognize holds the document under
"response". Version 2 of the API stores the document in a file. Source: Speech-to-Text reference,
SpeechRecognitionAlternative. Each result is a list, with the most probable alternative first. Only the first
alternative has a confidence, and 0.0 means unset. The field of an empty transcript is omitted. Transcripts may begin
with a space, and have the service's case and punctuation.
"""

from collections.abc import Iterator
from pathlib import Path

from lorb.formats.cloud.confidences import hypotheses_from_alternatives
from lorb.formats.notices import Notices
from lorb.formats.options import FormatOptions
from lorb.formats.parsing.file_names import named_records
from lorb.formats.parsing.json_cursor import members_at
from lorb.formats.parsing.lines import read_text
from lorb.formats.parsing.values import require_object
from lorb.formats.record import ListRecord

_KEY_PATHS = [("results",), ("response", "results")]
_OTHER_KEYS = {"confidence", "words"}


def read_google(path: Path, options: FormatOptions, notices: Notices) -> Iterator[ListRecord]:
    """Yields the lists of one or more responses; lists without "id" are named after the file. Raises MalformedFile."""
    return named_records(path, _results(path, notices))


def _results(path: Path, notices: Notices) -> Iterator[tuple[int, dict[str, object]]]:
    for line, member in members_at(path, read_text(path), _KEY_PATHS):
        result = require_object(member, path, line, "a result")
        if not result.get("alternatives"):
            notices.add("results left out, because they have no alternatives")
            continue
        value = result["alternatives"]
        if isinstance(value, list):
            value = [_with_transcript(alternative) for alternative in value]
        hypotheses = hypotheses_from_alternatives(value, "transcript", "confidence", path, line, notices)
        notices.add("lists with the service's case and punctuation")
        yield line, {**{key: result[key] for key in result if key != "alternatives"}, "hyps": hypotheses}


def _with_transcript(alternative: object) -> object:
    """Restores an empty transcript, which proto3's JSON omits. An alternative with unexpected keys is unchanged."""
    if isinstance(alternative, dict) and alternative and alternative.keys() <= _OTHER_KEYS:
        return {"transcript": "", **alternative}
    return alternative
