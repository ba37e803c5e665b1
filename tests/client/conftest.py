"""A running server, lists and the lorb-rescore command for the client's tests."""

from pathlib import Path

import pytest

from lorb.formats import read_nbest_lists
from lorb_client.rescore.cli import main
from support.lists.two_lists import LINES
from support.servers.rescoring_server import ScriptedService, serving

SAMPLE = Path(__file__).parents[1] / "data" / "librispeech"


@pytest.fixture(scope="session")
def test_file():
    """The file of the LibriSpeech sample's test lists."""
    return SAMPLE / "test.jsonl.gz"


@pytest.fixture(scope="session")
def sample_lists(test_file):
    """The sample's test lists."""
    return read_nbest_lists([test_file], require_references=True)


@pytest.fixture
def service():
    """The behaviour of the server; a test may change it."""
    return ScriptedService()


@pytest.fixture
def target(service):
    """Address of the running server."""
    with serving(service) as address:
        yield address


@pytest.fixture
def small_file(tmp_path):
    """A file of two lists, one with a reference."""
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(LINES) + "\n")
    return path


@pytest.fixture
def failing(capsys):
    """Runs lorb-rescore, and returns its exit status and its one line on standard error."""

    def run(*arguments):
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("lorb-rescore: ")
        assert len(captured.err.splitlines()) == 1
        return status, captured.err.removeprefix("lorb-rescore: ").rstrip("\n")

    return run
