"""A running server and real lists for the client's tests."""

from pathlib import Path

import pytest

from lorb.formats import read_nbest_lists
from rescoring_server import ScriptedService, serving

SAMPLE = Path(__file__).parents[1] / "data" / "librispeech"


@pytest.fixture(scope="session")
def test_file():
    """The sample's test lists, as a file."""
    return SAMPLE / "test.jsonl.gz"


@pytest.fixture(scope="session")
def sample_lists(test_file):
    """The sample's test lists, read."""
    return read_nbest_lists([test_file], require_references=True)


@pytest.fixture
def service():
    """What the server does; a test may change it."""
    return ScriptedService()


@pytest.fixture
def target(service):
    """Where the server listens."""
    with serving(service) as address:
        yield address
