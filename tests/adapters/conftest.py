"""What the tests of the store and of loading share: a loaded base."""

from pathlib import Path

import pytest

from lorb_adapters.base import Base, load_base


@pytest.fixture(scope="session")
def store_base(tiny_bert: Path) -> Base:
    """The tiny BERT, loaded. A RescoringModel takes its encoder over: make one after the other."""
    return load_base(str(tiny_bert))
