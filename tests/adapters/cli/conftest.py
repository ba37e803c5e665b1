"""A store of two versions, and a runner of command lines."""

import pytest

from lorb_adapters.cli import adapters as cli
from lorb_adapters.store.store import Store
from support.adapters.publications import make_publication


@pytest.fixture
def store(tmp_path, store_base, monkeypatch) -> Store:
    """A store of two versions of `voice`, the second one stable."""
    store = Store(str(tmp_path / "store"))
    for seed in range(2):
        store.publish(make_publication(store_base, seed=seed), set_stable=True)
    monkeypatch.setenv("LORB_STORE", store.url)
    return store


@pytest.fixture
def run(capsys):
    """Runs a command line; returns exit status, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        status = cli.main([*map(str, arguments)])
        return status, *capsys.readouterr()

    return run
