"""Fixtures of the admin service's tests: a store with several versions, and a server of it."""

import pytest

from lorb_adapters.store.store import Store
from support.adapters.publications import make_publication
from support.servers.serving import running_server


@pytest.fixture
def filled(tmp_path, publishing_base):
    """A store with three versions of `voice`, the second stable, and one version of `radio` without an alias."""
    folder = tmp_path / "filled"
    folder.mkdir()
    store = Store(str(folder))
    for seed in (1, 2, 3):
        store.publish(make_publication(publishing_base, "voice", seed=seed), set_stable=seed < 3)
    store.publish(make_publication(publishing_base, "radio", seed=4), set_stable=False)
    return store


@pytest.fixture
def served(filled, tiny_bert):
    """A server of that store, which reads it only on request."""
    with running_server(tiny_bert, filled.url, poll_seconds=1000.0) as server:
        yield server
