"""All readers on edited copies of real files: lists, or MalformedFile with file and line."""

import pytest
from hypothesis import HealthCheck, given, settings

from support.faulty_input.fuzzed_files import cases, read_edited, read_edited_references, reference_cases


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder of the edited copies."""
    return tmp_path_factory.mktemp("fuzzed")


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(cases)
def test_a_reader_reads_or_refuses(folder, case):
    """A reader raises no other exception, and what it reads can be sent and written."""
    assert read_edited(folder, *case) in ("read", "refused")


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(reference_cases)
def test_references_are_read_or_refused(folder, case):
    """Edited reference files, Kaldi text and trn, raise no other exception."""
    assert read_edited_references(folder, *case) in ("read", "refused")
