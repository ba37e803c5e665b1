"""Reads detailed results of Azure Speech: {"RecognitionStatus", "NBest": [{"Confidence", "Lexical", ...}, ...]}.

The REST API for short audio and the Speech SDK write one such document for each utterance. Batch transcription writes
{"recognizedPhrases": [{"recognitionStatus", "nBest": [{"confidence", "lexical", ...}]}]}. Source: Azure Speech
documentation, "Speech to text REST API for short audio" and "Batch transcription results". The reader takes the lexical
form: words as spoken, without case and punctuation. Confidences are probabilities, and may
increase down the list.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from lorb.formats.cloud.confidences import hypotheses_from_alternatives
from lorb.formats.notices import Notices
from lorb.formats.options import FormatOptions
from lorb.formats.parsing.file_names import named_records
from lorb.formats.parsing.json_cursor import documents, members_at
from lorb.formats.parsing.lines import read_text
from lorb.formats.parsing.values import require_object
from lorb.formats.record import ListRecord

_BATCH = '"recognizedPhrases"'


def read_azure(path: Path, options: FormatOptions, notices: Notices) -> Iterator[ListRecord]:
    """Yields the lists of one or more results; lists without "id" are named after the file. Raises MalformedFile."""
    return named_records(path, _phrases(path, notices))


def _phrases(path: Path, notices: Notices) -> Iterator[tuple[int, dict[str, object]]]:
    text = read_text(path)
    members = members_at(path, text, [("recognizedPhrases",)]) if _BATCH in text else documents(path, text)
    for line, member in members:
        phrase = require_object(member, path, line, "a result")
        key, text_key, confidence_key = _keys(phrase)
        if not phrase.get(key):
            notices.add("results left out, because they have no NBest: no speech, or not the detailed format")
            continue
        hypotheses = hypotheses_from_alternatives(phrase[key], text_key, confidence_key, path, line, notices)
        notices.add("lists in the lexical form, without case and punctuation")
        yield line, {**{name: phrase[name] for name in phrase if name != key}, "hyps": hypotheses}


def _keys(phrase: Mapping[str, object]) -> tuple[str, str, str]:
    return ("nBest", "lexical", "confidence") if "nBest" in phrase else ("NBest", "Lexical", "Confidence")
