"""Reads Vosk results with alternatives: {"alternatives": [{"confidence", "text", "result"?}, ...]}.

Source: Recognizer::NbestResult after SetMaxAlternatives (alphacep/vosk-api, src/recognizer.cc). The confidence is the
log-likelihood of the path, -(graph + acoustic cost). It is a natural log, higher is better, and may exceed 0. A file
holds one result, several consecutive results as Vosk's programs print them, or an array of results. You may add an "id"
to each result. Older versions of Vosk write texts with a leading space.
"""

from collections.abc import Iterator
from pathlib import Path

from lorb.formats.notices import Notices
from lorb.formats.options import FormatOptions
from lorb.formats.parsing.file_names import named_records
from lorb.formats.parsing.json_cursor import documents
from lorb.formats.parsing.lines import read_text
from lorb.formats.parsing.values import require_array, require_object, require_text
from lorb.formats.record import ListRecord


def read_vosk(path: Path, options: FormatOptions, notices: Notices) -> Iterator[ListRecord]:
    """Yields the lists of a file of Vosk results; lists without "id" are named after the file. Raises MalformedFile."""
    return named_records(path, _results(path, notices))


def _results(path: Path, notices: Notices) -> Iterator[tuple[int, dict[str, object]]]:
    for line, document in documents(path, read_text(path)):
        result = require_object(document, path, line, "a result")
        if not result.get("alternatives"):
            notices.add("results left out, because they have no alternatives: silence, or a partial result")
            continue
        hypotheses: list[dict[str, object]] = []
        for alternative in require_array(result["alternatives"], path, line, '"alternatives"'):
            entry = require_object(alternative, path, line, "an alternative")
            others = {key: value for key, value in entry.items() if key != "confidence"}
            text = require_text(entry.get("text"), path, line, '"text" of an alternative')
            notices.add("texts with a leading space removed", int(text[:1] == " "))
            hypotheses.append({**others, "text": text.strip(), "score": entry.get("confidence")})
        yield line, {**{key: result[key] for key in result if key != "alternatives"}, "hyps": hypotheses}
