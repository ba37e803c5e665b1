"""What the examples' tests share: a real server of the domain that they ask for, and a recording."""

from pathlib import Path

import pytest

from lorb_adapters.base.loader import load_base
from lorb_adapters.store.store import Store
from support.adapters.publications import make_publication
from support.servers.serving import running_server

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def server(tiny_bert, tmp_path_factory):
    """A server of `librispeech` that ranks by a random adapter of the tiny BERT."""
    folder = tmp_path_factory.mktemp("examples-store")
    publication = make_publication(load_base(str(tiny_bert)), "librispeech", seed=1)
    Store(str(folder)).publish(publication, set_stable=True)
    with running_server(tiny_bert, folder) as server:
        yield server


@pytest.fixture(scope="session")
def recording() -> Path:
    """Two seconds and a half of flite's voice slt."""
    return ROOT / "tests" / "data" / "speech" / "restaurant.wav"
