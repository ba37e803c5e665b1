"""A store on a real S3 server with conditional writes: lorb_adapters.store.storage.remote and its parts."""

import threading

import pytest

from lorb.errors import StoreConflict, StoreUnavailable, UnknownVersion
from lorb_adapters.store.storage.conditional_puts import ConditionalPuts
from lorb_adapters.store.storage.remote_change import RemoteChange
from lorb_adapters.store.store import Store
from lorb_adapters.store.verified_loading import load_adapter
from support.adapters.publications import publish


def file_names(puts):
    """The file names of the paths that were put, without the probe for conditional writes."""
    return [path.rpartition("/")[2] for path in puts if not path.endswith(".conditional-writes")]


def act_before_put(s3, file, act):
    """Calls `act` once just before a file of that name is put; returns an event that is set when `act` has ended."""
    began, ended = threading.Event(), threading.Event()

    def before_put(path):
        if path.endswith(f"/{file}") and not began.is_set():
            began.set()
            act()
            ended.set()

    s3.before_put = before_put
    return ended


def test_a_store_on_s3_works_like_a_folder(s3_url, store_base):
    """Publishing, listing, loading, promoting, rolling back and pruning work; another reader sees each at once."""
    store, reader = Store(s3_url), Store(s3_url)
    assert (reader.domains(), reader.generation()) == ([], 0)
    versions = [publish(store, store_base, seed=seed) for seed in range(3)]
    assert (reader.domains(), reader.versions("voice")) == (["voice"], versions)
    assert load_adapter(reader, "voice", versions[2], store_base).version == versions[2]
    assert store.rollback("voice").to_version == versions[1]
    assert reader.aliases("voice").version("stable") == versions[1]
    store.set_alias("voice", "stable", versions[2])
    assert store.prune("voice", keep=1) == [versions[0]]
    assert reader.versions("voice") == versions[1:]
    assert reader.generation() == 6


def test_an_incomplete_upload_is_never_listed(s3_url, store_base, s3):
    """After an upload that failed at the manifest nothing is listed, and the same version can be published."""
    store = Store(s3_url)

    def fail_at_manifest(path):
        if path.endswith("manifest.json"):
            raise ConnectionResetError

    s3.before_put = fail_at_manifest
    with pytest.raises(StoreUnavailable):
        publish(store, store_base)
    assert any(path.endswith("adapter_model.safetensors") for path in s3.puts)
    assert (store.domains(), store.generation()) == ([], 0)
    s3.before_put = lambda path: None
    version = publish(store, store_base)
    assert load_adapter(Store(s3_url), "voice", version, store_base).version == version


def test_the_manifest_comes_last_then_the_alias_then_the_index(s3_url, store_base, s3):
    """A version's manifest is written after its other files, then the aliases, then the index."""
    publish(Store(s3_url), store_base)
    assert file_names(s3.puts)[5:] == ["manifest.json", "aliases.json", "index.json"]


def test_the_slower_of_two_writers_of_an_alias_gets_a_conflict(s3_url, store_base, s3):
    """With If-Match the slower writer changes nothing, the faster one's change stays, and a second attempt works."""
    store = Store(s3_url)
    one, two, three = (publish(store, store_base, seed=seed) for seed in range(3))
    ended = act_before_put(s3, "aliases.json", lambda: Store(s3_url).set_alias("voice", "stable", one))
    with pytest.raises(StoreConflict, match="try again"):
        store.set_alias("voice", "stable", two)
    assert ended.is_set()
    assert store.aliases("voice").version("stable") == one
    store.set_alias("voice", "stable", two)
    history = [(change.from_version, change.to_version) for change in store.aliases("voice").history]
    assert history[-2:] == [(three, one), (one, two)]


@pytest.mark.parametrize("removal", ["remove", "prune"])
def test_a_version_that_another_writer_promotes_is_not_removed(s3_url, store_base, monkeypatch, removal):
    """If another writer points an alias at the version meanwhile, removing it raises StoreConflict and it stays."""
    store = Store(s3_url)
    old, new = (publish(store, store_base, seed=seed, set_stable=seed > 0) for seed in range(2))
    apply = RemoteChange.apply

    def promote_then_apply(change):
        monkeypatch.setattr(RemoteChange, "apply", apply)
        Store(s3_url).set_alias("voice", "stable", old)
        apply(change)

    monkeypatch.setattr(RemoteChange, "apply", promote_then_apply)
    with pytest.raises(StoreConflict):
        store.remove("voice", old) if removal == "remove" else store.prune("voice", keep=1)
    assert store.versions("voice") == [old, new]
    assert load_adapter(store, "voice", old, store_base).version == store.aliases("voice").version("stable")


def test_an_interrupted_removal_leaves_no_version(s3_url, store_base, monkeypatch):
    """A removal that fails after the manifest leaves files that are not listed, and the number stays taken."""
    store = Store(s3_url)
    old, new = (publish(store, store_base, seed=seed) for seed in range(2))

    def fail(*_arguments, **_options):
        raise OSError("the connection is gone")

    with monkeypatch.context() as patched:
        patched.setattr(store._storage._files, "rm", fail)
        with pytest.raises(StoreUnavailable, match="the connection is gone"):
            store.remove("voice", old)
    assert store.versions("voice") == [new]
    assert store.last_version_number("voice") == 2


def test_a_first_alias_is_not_overwritten(s3_url, store_base, s3):
    """With If-None-Match the slower of two first publishers of a domain fails, and its version is removed."""
    ended = act_before_put(s3, "aliases.json", lambda: publish(Store(s3_url), store_base, seed=1))
    with pytest.raises(StoreConflict):
        publish(Store(s3_url), store_base, seed=2)
    assert ended.is_set()
    [version] = Store(s3_url).versions("voice")
    assert Store(s3_url).aliases("voice").version("stable") == version


def test_concurrent_publishers_that_retry_all_succeed(s3_url, store_base):
    """Four publishers that retry on StoreConflict give versions 1 to 4, and every change is counted."""

    def publish_with_retries(seed):
        store = Store(s3_url)
        while True:
            try:
                return publish(store, store_base, seed=seed)
            except StoreConflict:
                continue

    threads = [threading.Thread(target=publish_with_retries, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = Store(s3_url)
    versions = store.versions("voice")
    assert [version.partition("-")[0] for version in versions] == ["1", "2", "3", "4"]
    assert store.generation() == 4
    assert len(store.aliases("voice").history) == 4
    assert store.aliases("voice").version("stable") == versions[-1]


def test_writers_of_two_domains_do_not_conflict(s3_url, store_base, s3):
    """Two writers of different domains both succeed, and the index counts both changes."""
    ended = act_before_put(s3, "index.json", lambda: publish(Store(s3_url), store_base, seed=1, domain="other"))
    publish(Store(s3_url), store_base, seed=2)
    assert ended.is_set()
    assert (Store(s3_url).domains(), Store(s3_url).generation()) == (["other", "voice"], 2)


def test_a_repeated_write_is_not_a_conflict(s3_url, store_base, monkeypatch):
    """If the library repeats a write whose response was lost, publishing succeeds and nothing is removed."""
    store = Store(s3_url)
    put, repeated = ConditionalPuts.put, []

    def put_twice(self, path, content, etag):
        put(self, path, content, etag)
        if path.endswith("aliases.json") and not repeated:
            repeated.append(path)
            put(self, path, content, etag)

    monkeypatch.setattr(ConditionalPuts, "put", put_twice)
    version = publish(store, store_base)
    assert repeated
    assert store.versions("voice") == [version]


def test_a_missing_bucket_is_not_created(store_base, s3):
    """Publishing to a mistyped bucket fails with its name and creates no bucket."""
    import s3fs

    with pytest.raises(StoreUnavailable, match="no-such-bucket"):
        publish(Store("s3://no-such-bucket/store"), store_base)
    assert not s3fs.S3FileSystem().exists("no-such-bucket")


def test_a_missing_version_is_unknown(s3_url, store_base):
    """S3's own error for a missing object becomes UnknownVersion."""
    store = Store(s3_url)
    publish(store, store_base)
    with pytest.raises(UnknownVersion):
        store.manifest("voice", "9-0123456789ab")
