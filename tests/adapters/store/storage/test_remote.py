"""lorb_adapters.store.storage.remote, on fsspec's memory file system."""

import sys
import uuid

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from lorb.errors import InvalidAdapter, StoreConflict, StoreUnavailable
from lorb_adapters.store.storage.opening import open_storage
from lorb_adapters.store.storage.remote import RemoteStorage
from lorb_adapters.store.store import Store
from lorb_adapters.store.verified_loading import load_adapter
from support.adapters.publications import make_publication


@pytest.fixture
def url() -> str:
    """The URL of a new store in memory."""
    return f"memory://{uuid.uuid4().hex}/store"  # all tests share the memory file system


def test_an_empty_store_lists_nothing(url):
    """An empty folder reads as a store without domains, with generation 0 and no change token."""
    store = Store(url)
    assert (store.domains(), store.generation()) == ([], 0)
    assert store.change_token("voice") is None


def test_a_store_works_like_a_folder(url, store_base):
    """Publishing, loading, promoting, rolling back and pruning work as in a local folder."""
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
    """A version without its manifest, as a killed publisher leaves it, is not listed."""
    store = Store(url)
    version = store.publish(make_publication(store_base, golden_lists=()), set_stable=False)
    storage = RemoteStorage(url)
    storage._files.rm_file(storage._at(f"voice/versions/{version}/manifest.json"))
    assert store.versions("voice") == []
    assert store.domains() == []


def test_the_manifest_is_written_last(url, store_base, monkeypatch):
    """A version's manifest is written after its other files, then the aliases, then the index."""
    order, put = [], MemoryFileSystem.pipe_file

    def record(self, path, value, **options):
        order.append(path.rpartition("/")[2])
        put(self, path, value, **options)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", record)
    store = Store(url)
    version = store.publish(make_publication(store_base, golden_lists=()), set_stable=True)
    assert (len(order), order[5:]) == (8, ["manifest.json", "aliases.json", "index.json"])
    order.clear()
    Store(f"{url}-copy").add(store.read_files("voice", version), set_stable=True)
    assert (len(order), order[5:]) == (8, ["manifest.json", "aliases.json", "index.json"])


def test_listings_are_never_stale(url, monkeypatch):
    """Cached listings are dropped before every read."""
    storage, drops = RemoteStorage(url), []
    with storage.change() as change:
        change.put_folder("d/v", {"m": b"1"})
    monkeypatch.setattr(storage._files, "invalidate_cache", lambda: drops.append(True))
    storage.list_names("d")
    storage.list_folders_with("d", "m")
    storage.read("d/v/m", 10)
    assert len(drops) == 3


def test_a_second_publisher_gets_a_conflict(url):
    """Adding a folder that is complete raises StoreConflict and leaves the first one."""
    storage = RemoteStorage(url)
    with storage.change() as change:
        change.put_folder("d/v", {"m": b"1"})
    with pytest.raises(StoreConflict, match="try again"), storage.change() as change:
        change.put_folder("d/v", {"m": b"2"})
    assert storage.read("d/v/m", 10) == b"1"


def test_a_file_over_the_limit_is_refused(url):
    """A file that is larger than the limit is refused."""
    storage = RemoteStorage(url)
    with storage.change() as change:
        change.put_file("d/file", b"12345")
    with pytest.raises(InvalidAdapter, match="larger than 4 bytes"):
        storage.read("d/file", 4)


def test_an_unknown_scheme_is_unavailable():
    """A URL with an unknown scheme raises StoreUnavailable with the scheme's name."""
    with pytest.raises(StoreUnavailable, match="nosuch"):
        open_storage("nosuch://bucket/store")


def test_a_missing_package_is_named(monkeypatch):
    """Without s3fs an s3:// URL raises StoreUnavailable with what to install."""
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(StoreUnavailable, match=r"pip install 'lorb\[s3\]'"):
        open_storage("s3://bucket/store")


def test_a_file_system_that_fails_is_unavailable(url, monkeypatch):
    """An error of a file system's library becomes StoreUnavailable with its message."""
    storage = RemoteStorage(url)

    def broken(path):
        raise RuntimeError("no network")

    monkeypatch.setattr(storage._files, "info", broken)
    with pytest.raises(StoreUnavailable, match="no network"):
        storage.read("d/file", 4)
