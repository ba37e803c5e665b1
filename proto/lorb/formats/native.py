"""Reads the native format: JSON lines {"id", "ref"?, "domain"?, "context"?, "hyps": [{"text", "score"?}]}.

A "?" marks an optional field. Hypotheses are in first-pass order. Scores are natural log, higher is better.
"""

from collections.abc import Iterator
from pathlib import Path

from lorb.formats.notices import Notices
from lorb.formats.options import FormatOptions
from lorb.formats.parsing.json_cursor import parse_json
from lorb.formats.parsing.lines import numbered_lines
from lorb.formats.record import ListRecord


def read_native(path: Path, options: FormatOptions, notices: Notices) -> Iterator[ListRecord]:
    """Yields the lists of a native file. Raises MalformedFile."""
    for line, text in numbered_lines(path):
        yield ListRecord.of(parse_json(path, line, text), path, line)
