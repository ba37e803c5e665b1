"""What the server's tests share: a tiny real base, adapters published for it, a server that serves them."""

import pytest
from lorb_adapters.base import Base, load_base
from lorb_adapters.store import Store
from publications import make_publication
from serving import make_base_folder, running_server


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory):
    """A folder with a tiny random BERT."""
    return make_base_folder(tmp_path_factory.mktemp("served-bert"))


@pytest.fixture(scope="session")
def publishing_base(base_folder) -> Base:
    """The tiny BERT as a trainer has it: never the one of a running server."""
    return load_base(str(base_folder))


@pytest.fixture
def store(tmp_path, publishing_base) -> Store:
    """A store with one stable version of the domain `voice`."""
    (tmp_path / "store").mkdir()
    store = Store(str(tmp_path / "store"))
    store.publish(make_publication(publishing_base, "voice", seed=1), set_stable=True)
    return store


@pytest.fixture(scope="module")
def server(base_folder, publishing_base, tmp_path_factory):
    """A server of `voice`, shared by a file's tests: they leave it as it was."""
    folder = tmp_path_factory.mktemp("shared-store")
    store = Store(str(folder))
    store.publish(make_publication(publishing_base, "voice", seed=1), set_stable=True)
    with running_server(base_folder, folder) as server:
        yield server
