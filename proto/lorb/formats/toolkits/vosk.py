"""Vosk's results: {"alternatives": [{"confidence", "text", "result"?}, ...]}, one after another.

As Recognizer::NbestResult (alphacep/vosk-api, src/recognizer.cc) writes them after SetMaxAlternatives: the confidence
is the path's log-likelihood, -(graph + acoustic cost), natural log, higher is better, above 0 too. A file may hold one
result, several as its programs print them, or an array of them; "id" may be added. Older versions begin texts with
a blank.
"""

from collections.abc import Iterator
from pathlib import Path

from lorb.formats.options import FormatOptions
from lorb.formats.parsing.json_documents import documents
from lorb.formats.parsing.json_values import checked_array, checked_object, checked_text
from lorb.formats.parsing.lines import whole_text
from lorb.formats.parsing.list_names import named_records
from lorb.formats.record import ListRecord
from lorb.formats.warnings import Notices


def read_vosk(path: Path, options: FormatOptions, notices: Notices) -> Iterator[ListRecord]:
    """Yields the lists of one or more results, named after the file. Raises MalformedFile."""
    return named_records(path, _results(path, notices))


def _results(path: Path, notices: Notices) -> Iterator[tuple[int, dict[str, object]]]:
    for line, member in documents(path, whole_text(path)):
        result = checked_object(member, path, line, "a result")
        if not result.get("alternatives"):
            notices.add("results without alternatives, left out: silence, or partial")
            continue
        hypotheses: list[dict[str, object]] = []
        for each in checked_array(result["alternatives"], path, line, '"alternatives"'):
            entry = checked_object(each, path, line, "an alternative")
            others = {key: value for key, value in entry.items() if key != "confidence"}
            text = checked_text(entry.get("text"), path, line, '"text" of an alternative')
            notices.add("texts without the blank that they began with", int(text[:1] == " "))
            hypotheses.append({**others, "text": text.strip(), "score": entry.get("confidence")})
        yield line, {**{key: result[key] for key in result if key != "alternatives"}, "hyps": hypotheses}
