"""Azure Speech's detailed results: {"RecognitionStatus", "NBest": [{"Confidence", "Lexical", ...}, ...]}.

As the REST API for short audio and the Speech SDK write them, one document an utterance, and as batch transcription
does: {"recognizedPhrases": [{"recognitionStatus", "nBest": [{"confidence", "lexical", ...}]}]} (Azure Speech
documentation, "Speech to text REST API for short audio", "Batch transcription results"). The lexical form is read:
words as spoken, without case and punctuation. Confidences are probabilities and need not fall along a list.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from lorb.formats.cloud.confidences import alternatives
from lorb.formats.options import FormatOptions
from lorb.formats.parsing.json_documents import documents, members_within
from lorb.formats.parsing.json_values import checked_object
from lorb.formats.parsing.lines import whole_text
from lorb.formats.parsing.list_names import named_records
from lorb.formats.record import ListRecord
from lorb.formats.warnings import Notices

_BATCH = '"recognizedPhrases"'


def read_azure(path: Path, options: FormatOptions, notices: Notices) -> Iterator[ListRecord]:
    """Yields the lists of one or more results, named after the file. Raises MalformedFile."""
    return named_records(path, _phrases(path, notices))


def _phrases(path: Path, notices: Notices) -> Iterator[tuple[int, dict[str, object]]]:
    text = whole_text(path)
    members = members_within(path, text, [("recognizedPhrases",)]) if _BATCH in text else documents(path, text)
    for line, member in members:
        phrase = checked_object(member, path, line, "a result")
        key, text_key, confidence_key = _keys(phrase)
        if not phrase.get(key):
            notices.add("results without NBest, left out: nothing was recognised, or the format was not detailed")
            continue
        hypotheses = alternatives(phrase[key], text_key, confidence_key, path, line, notices)
        notices.add("lists in the lexical form, without case and punctuation")
        yield line, {**{name: phrase[name] for name in phrase if name != key}, "hyps": hypotheses}


def _keys(phrase: Mapping[str, object]) -> tuple[str, str, str]:
    return ("nBest", "lexical", "confidence") if "nBest" in phrase else ("NBest", "Lexical", "Confidence")
