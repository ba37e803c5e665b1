"""The native format: JSON lines, {"id", "ref"?, "domain"?, "context"?, "hyps": [{"text", "score"?}]}.

hyps[0] is the first-pass best; scores are natural log, higher is better.
"""

from collections.abc import Iterator
from pathlib import Path

from lorb.formats.options import FormatOptions
from lorb.formats.parsing.json_documents import parsed_json
from lorb.formats.parsing.lines import numbered_lines
from lorb.formats.record import ListRecord
from lorb.formats.warnings import Notices


def read_native(path: Path, options: FormatOptions, notices: Notices) -> Iterator[ListRecord]:
    """Yields the lists of a native file. Raises MalformedFile."""
    for line, text in numbered_lines(path):
        yield ListRecord.of(parsed_json(path, line, text), path, line)
