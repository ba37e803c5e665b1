"""lorb_adapters.store.storage.remote, on fsspec's memory file system."""

import sys
import uuid

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from lorb.errors import InvalidAdapter, StoreConflict, StoreUnavailable
from lorb_adapters.store.loading import load_adapter
from lorb_adapters.store.storage.remote import RemoteStorage
from lorb_adapters.store.storage.storage import open_storage
from lorb_adapters.store.store import Store
from support.adapters.publications import make_publication


@pytest.fixture
def url() -> str:
    """A place of its own in memory."""
    return f"memory://{uuid.uuid4().hex}/store"  # the memory file system is one for all tests


def test_an_empty_store_has_nothing(url):
    """A place that nobody published to yet reads as an empty store."""
    store = Store(url)
    assert (store.domains(), store.generation()) == ([], 0)
    assert store.stamp("voice") is None  # such a place cannot tell


def test_a_store_works_as_in_a_folder(url, store_base):
    """Publishing, flipping, loading, rolling back and pruning do what they do in a folder."""
    store = Store(url)
    versions = [
        store.publish(make_publication(store_base, seed=seed, golden_lists=()), set_stable=True) for seed in range(3)
    ]
    assert store.domains() == ["voice"]
    assert store.versions("voice") == versions
    assert load_adapter(Store(url), "voice", versions[2], store_base).version == versions[2]
    assert store.rollback("voice").to_version == versions[1]
    assert store.prune("voice", keep=1) == []
    store.set_alias("voice", "stable", versions[2])
    assert store.prune("voice", keep=1) == [versions[0]]
    assert store.versions("voice") == versions[1:]
    assert store.generation() == 6


def test_a_version_without_its_manifest_is_not_listed(url, store_base):
    """A publisher that died before the manifest has published nothing."""
    store = Store(url)
    version = store.publish(make_publication(store_base, golden_lists=()), set_stable=False)
    storage = RemoteStorage(url)
    storage._files.rm_file(storage._at(f"voice/versions/{version}/manifest.json"))
    assert store.versions("voice") == []
    assert store.domains() == []


def test_the_manifest_is_written_last(url, store_base, monkeypatch):
    """A version's manifest follows all its other files, then come the aliases, then the index."""
    order, put = [], MemoryFileSystem.pipe_file

    def noted(self, path, value, **options):
        order.append(path.rpartition("/")[2])
        put(self, path, value, **options)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", noted)
    store = Store(url)
    version = store.publish(make_publication(store_base, golden_lists=()), set_stable=True)
    assert (len(order), order[5:]) == (8, ["manifest.json", "aliases.json", "index.json"])
    order.clear()
    Store(f"{url}-copy").add(store.read_files("voice", version), set_stable=True)
    assert (len(order), order[5:]) == (8, ["manifest.json", "aliases.json", "index.json"])


def test_listings_are_never_stale(url, monkeypatch):
    """File systems that remember listings are made to look again before every reading."""
    storage, forgotten = RemoteStorage(url), []
    with storage.change() as change:
        change.put_folder("d/v", {"m": b"1"})
    monkeypatch.setattr(storage._files, "invalidate_cache", lambda: forgotten.append(True))
    storage.names("d")
    storage.folders_with("d", "m")
    storage.read("d/v/m", 10)
    assert len(forgotten) == 3


def test_a_second_publisher_is_told(url):
    """A folder that is complete is never written again."""
    storage = RemoteStorage(url)
    with storage.change() as change:
        change.put_folder("d/v", {"m": b"1"})
    with pytest.raises(StoreConflict, match="try again"), storage.change() as change:
        change.put_folder("d/v", {"m": b"2"})
    assert storage.read("d/v/m", 10) == b"1"


def test_a_file_over_the_limit_is_refused(url):
    """The size is looked at before the bytes are fetched."""
    storage = RemoteStorage(url)
    with storage.change() as change:
        change.put_file("d/file", b"12345")
    with pytest.raises(InvalidAdapter, match="larger than 4 bytes"):
        storage.read("d/file", 4)


def test_an_unknown_scheme_is_unavailable():
    """A URL that no file system answers to says so, without a traceback."""
    with pytest.raises(StoreUnavailable, match="nosuch"):
        open_storage("nosuch://bucket/store")


def test_a_missing_package_is_named(monkeypatch):
    """Without s3fs an s3:// store says what to install."""
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(StoreUnavailable, match=r"pip install 'lorb\[s3\]'"):
        open_storage("s3://bucket/store")


def test_a_file_system_that_fails_is_unavailable(url, monkeypatch):
    """Whatever a file system's library raises reads as a store out of reach."""
    storage = RemoteStorage(url)

    def broken(path):
        raise RuntimeError("no network")

    monkeypatch.setattr(storage._files, "info", broken)
    with pytest.raises(StoreUnavailable, match="no network"):
        storage.read("d/file", 4)
