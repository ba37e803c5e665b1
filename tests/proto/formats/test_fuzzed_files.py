"""Every reader on real files with a few edits: it reads them, or raises MalformedFile with the file and the line."""

import pytest
from hypothesis import HealthCheck, given, settings

from support.faulty_input.fuzzed_files import cases, read_edited, read_edited_references, reference_cases


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the copies lie that are edited."""
    return tmp_path_factory.mktemp("fuzzed")


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(cases)
def test_a_reader_reads_or_refuses(folder, case):
    """No other exception, and nothing that could not be sent or written afterwards."""
    assert read_edited(folder, *case) in ("read", "refused")


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(reference_cases)
def test_references_are_read_or_refused(folder, case):
    """Kaldi's text and trn alike."""
    assert read_edited_references(folder, *case) in ("read", "refused")
