"""Google Speech-to-Text's responses: {"results": [{"alternatives": [{"transcript", "confidence"?}, ...]}, ...]}.

As speech:recognize answers, a finished operation of speech:longrunningrecognize holds it under "response", and v2
stores it (Speech-to-Text reference, SpeechRecognitionAlternative): each result is a list, the most probable
first; the confidence is set for the first alone, 0.0 is unset; an empty transcript is left out. Transcripts may begin
with a blank. Case and punctuation are the service's.
"""

from collections.abc import Iterator
from pathlib import Path

from lorb.formats.cloud.confidences import alternatives
from lorb.formats.options import FormatOptions
from lorb.formats.parsing.json_documents import members_within
from lorb.formats.parsing.json_values import checked_object
from lorb.formats.parsing.lines import whole_text
from lorb.formats.parsing.list_names import named_records
from lorb.formats.record import ListRecord
from lorb.formats.warnings import Notices

_ROUTES = [("results",), ("response", "results")]
_BESIDE_TRANSCRIPT = {"confidence", "words"}


def read_google(path: Path, options: FormatOptions, notices: Notices) -> Iterator[ListRecord]:
    """Yields the lists of one or more responses, named after the file. Raises MalformedFile."""
    return named_records(path, _results(path, notices))


def _results(path: Path, notices: Notices) -> Iterator[tuple[int, dict[str, object]]]:
    for line, member in members_within(path, whole_text(path), _ROUTES):
        result = checked_object(member, path, line, "a result")
        if not result.get("alternatives"):
            notices.add("results without alternatives, left out")
            continue
        value = result["alternatives"]
        if isinstance(value, list):
            value = [_with_transcript(each) for each in value]
        hypotheses = alternatives(value, "transcript", "confidence", path, line, notices)
        notices.add("lists with the service's case and punctuation")
        yield line, {**{key: result[key] for key in result if key != "alternatives"}, "hyps": hypotheses}


def _with_transcript(alternative: object) -> object:
    """As proto3's JSON means it, which leaves out what is empty; where nothing is left it may be anything."""
    if isinstance(alternative, dict) and alternative and alternative.keys() <= _BESIDE_TRANSCRIPT:
        return {"transcript": "", **alternative}
    return alternative
