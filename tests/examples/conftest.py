"""Fixtures for tests of the examples: a real server and a recording."""

from pathlib import Path

import pytest

from lorb_adapters.base.loader import load_base
from lorb_adapters.store.store import Store
from support.adapters.publications import make_publication
from support.servers.serving import running_server

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def server(tiny_bert, tmp_path_factory):
    """A server with a random adapter for the domain `librispeech` on the tiny BERT."""
    folder = tmp_path_factory.mktemp("examples-store")
    publication = make_publication(load_base(str(tiny_bert)), "librispeech", seed=1)
    Store(str(folder)).publish(publication, set_stable=True)
    with running_server(tiny_bert, folder) as server:
        yield server


@pytest.fixture(scope="session")
def recording() -> Path:
    """A WAV file with 2.5 s of synthetic speech."""
    return ROOT / "tests" / "data" / "speech" / "restaurant.wav"
