"""Amazon Transcribe's results: {"results": {"segments": [{"alternatives": [{"transcript", "items"}, ...]}, ...]}}.

As a batch job with ShowAlternatives stores them (Amazon Transcribe developer guide, "Alternative transcriptions"):
each segment is a list, in the service's order; only words have confidences, so the lists have no scores. Numbers are
text and stay so. Case and punctuation are the service's.
"""

from collections.abc import Iterator
from pathlib import Path

from lorb.errors import MalformedFile
from lorb.formats.cloud.confidences import alternatives
from lorb.formats.options import FormatOptions
from lorb.formats.parsing.json_documents import members_within
from lorb.formats.parsing.json_values import checked_object
from lorb.formats.parsing.lines import whole_text
from lorb.formats.parsing.list_names import named_records
from lorb.formats.record import ListRecord
from lorb.formats.warnings import Notices


def read_aws(path: Path, options: FormatOptions, notices: Notices) -> Iterator[ListRecord]:
    """Yields the lists of a result, named after the file. Raises MalformedFile."""
    num_lists = 0
    for record in named_records(path, _segments(path, notices)):
        num_lists += 1
        yield record
    if not num_lists:
        raise MalformedFile(path, 1, 'no "segments" with alternatives: start the job with ShowAlternatives')


def _segments(path: Path, notices: Notices) -> Iterator[tuple[int, dict[str, object]]]:
    for line, member in members_within(path, whole_text(path), [("results", "segments")]):
        segment = checked_object(member, path, line, "a segment")
        hypotheses = alternatives(segment.get("alternatives"), "transcript", "confidence", path, line, notices)
        notices.add("lists with the service's case and punctuation")
        yield line, {**{key: segment[key] for key in segment if key != "alternatives"}, "hyps": hypotheses}
