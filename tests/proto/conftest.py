"""Real lists for the tests of lorb."""

from pathlib import Path

import pytest

from lorb.formats import read_nbest_lists
from lorb.nbest import NBest

SAMPLE = Path(__file__).parents[1] / "data" / "librispeech"


@pytest.fixture(scope="session")
def sample_lists() -> list[NBest]:
    """Dev lists of the shipped LibriSpeech sample: real texts, real scores, references."""
    return read_nbest_lists([SAMPLE / "dev.jsonl.gz"], require_references=True)
