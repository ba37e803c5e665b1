"""A store on an S3 server that ignores If-Match and If-None-Match, as older servers do."""

import json

import pytest

from lorb.errors import StoreConflict
from lorb_adapters.store.storage.remote import RemoteStorage
from lorb_adapters.store.store import Store
from support.adapters.publications import publish


@pytest.fixture(autouse=True)
def _old_server(s3):
    s3.supports_conditions = False


def test_support_is_detected_by_asking_the_server(s3_url, s3):
    """The server is asked whether it refuses a write whose condition does not hold."""
    assert not RemoteStorage(s3_url)._puts.supported
    s3.supports_conditions = True
    assert RemoteStorage(s3_url)._puts.supported


def test_a_single_publisher_works(s3_url, store_base):
    """One publisher publishes twice and rolls back."""
    store = Store(s3_url)
    versions = [publish(store, store_base, seed=seed) for seed in range(2)]
    assert store.rollback("voice").to_version == versions[0]


def test_another_writer_is_detected_after_the_write(s3_url, store_base, s3):
    """If aliases.json differs from what was just written, the error says to let one publisher write at a time."""
    import s3fs

    store = Store(s3_url)
    one, two = (publish(store, store_base, seed=seed) for seed in range(2))
    path = f"{s3_url}/voice/aliases.json"
    files = s3fs.S3FileSystem()
    theirs = json.dumps(json.loads(files.cat_file(path)), indent=5).encode()

    def overwrite(put):
        if put.endswith("aliases.json"):
            s3.after_put = lambda put: None
            files.pipe_file(path, theirs)

    s3.after_put = overwrite
    with pytest.raises(StoreConflict, match="let one publisher write at a time"):
        store.set_alias("voice", "stable", one)
    assert store.aliases("voice").version("stable") == two


def test_a_change_since_the_reading_is_detected_before_the_write(s3_url, store_base):
    """If aliases.json changed since it was read, nothing is overwritten."""
    store = Store(s3_url)
    one = publish(store, store_base)

    def write_after_another():
        with store._storage.change() as change:
            store.aliases("voice")
            Store(s3_url).set_alias("voice", "shadow", one)
            change.put_file("voice/aliases.json", b"{}")

    with pytest.raises(StoreConflict, match="try again"):
        write_after_another()
    assert store.aliases("voice").version("shadow") == one
