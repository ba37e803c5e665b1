"""Fixtures for tests of front processes."""

import pytest

from lorb_adapters.base.loader import load_base


@pytest.fixture(scope="module")
def base(tiny_bert):
    """The tiny BERT, loaded."""
    return load_base(str(tiny_bert))
