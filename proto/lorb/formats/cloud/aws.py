"""Reads Amazon Transcribe results: {"results": {"segments": [{"alternatives": [{"transcript", "items"}, ...]}, ...]}}.

Batch jobs with ShowAlternatives write these files. Source: Amazon Transcribe developer guide, "Alternative
transcriptions". Each segment is a list in the service's order. Only words have confidences, so the lists have no
scores. Transcripts have the service's case and punctuation.
"""

from collections.abc import Iterator
from pathlib import Path

from lorb.errors import MalformedFile
from lorb.formats.cloud.confidences import hypotheses_from_alternatives
from lorb.formats.notices import Notices
from lorb.formats.options import FormatOptions
from lorb.formats.parsing.file_names import named_records
from lorb.formats.parsing.json_cursor import members_at
from lorb.formats.parsing.lines import read_text
from lorb.formats.parsing.values import require_object
from lorb.formats.record import ListRecord


def read_aws(path: Path, options: FormatOptions, notices: Notices) -> Iterator[ListRecord]:
    """Yields the lists of a result, named after the file. Raises MalformedFile."""
    num_lists = 0
    for record in named_records(path, _segments(path, notices)):
        num_lists += 1
        yield record
    if not num_lists:
        raise MalformedFile(path, 1, 'no "segments" with alternatives: start the job with ShowAlternatives')


def _segments(path: Path, notices: Notices) -> Iterator[tuple[int, dict[str, object]]]:
    for line, member in members_at(path, read_text(path), [("results", "segments")]):
        segment = require_object(member, path, line, "a segment")
        hypotheses = hypotheses_from_alternatives(
            segment.get("alternatives"), "transcript", "confidence", path, line, notices
        )
        notices.add("lists with the service's case and punctuation")
        yield line, {**{key: segment[key] for key in segment if key != "alternatives"}, "hyps": hypotheses}
