"""A store on S3: lorb_adapters.store.storage.remote and what it stands on, against a real S3-speaking server."""

import json
import threading
import uuid

import pytest

pytest.importorskip("s3fs", reason="no s3fs: pip install '.[s3]'")
pytest.importorskip("moto", reason="no moto: its server speaks S3")

import s3fs

from lorb.errors import StoreConflict, StoreUnavailable, UnknownVersion
from lorb_adapters.store.loading import load_adapter
from lorb_adapters.store.storage.remote import RemoteStorage
from lorb_adapters.store.storage.remote_change import RemoteChange
from lorb_adapters.store.store import Store
from support.adapters.publications import make_publication
from support.servers.s3_server import s3_server


@pytest.fixture(scope="module")
def _server():
    with pytest.MonkeyPatch.context() as patch, s3_server(patch.setenv) as server:
        yield server


@pytest.fixture
def s3(_server):
    """The server as it was."""
    yield _server
    _server.knows_conditions = True
    _server.before_put = _server.after_put = lambda path: None


@pytest.fixture
def url(s3):
    """A bucket of its own."""
    bucket = f"b{uuid.uuid4().hex}"
    s3fs.S3FileSystem().mkdir(bucket)
    s3.puts.clear()
    return f"s3://{bucket}/store"


def publication(base, seed=0, domain="voice"):
    """Without golden lists: publishing alone."""
    return make_publication(base, domain, seed=seed, golden_lists=())


def names_of(puts):
    """The last names of what was put, without the probe's."""
    return [path.rpartition("/")[2] for path in puts if not path.endswith(".conditional-writes")]


def test_a_store_on_s3_works_as_in_a_folder(url, store_base):
    """Publish, list, load, swap the alias, roll back, prune; another process sees each at once."""
    store, reader = Store(url), Store(url)
    assert (reader.domains(), reader.generation()) == ([], 0)
    versions = [store.publish(publication(store_base, seed), set_stable=True) for seed in range(3)]
    assert (reader.domains(), reader.versions("voice")) == (["voice"], versions)
    assert load_adapter(reader, "voice", versions[2], store_base).version == versions[2]
    assert store.rollback("voice").to_version == versions[1]
    assert reader.aliases("voice").version("stable") == versions[1]
    store.set_alias("voice", "stable", versions[2])
    assert store.prune("voice", keep=1) == [versions[0]]
    assert reader.versions("voice") == versions[1:]
    assert reader.generation() == 6


def test_a_torn_upload_is_never_seen(url, store_base, s3):
    """The server dies at the manifest: nothing is listed or named, and the same version is published later."""
    store = Store(url)

    def dies(path):
        if path.endswith("manifest.json"):
            raise ConnectionResetError

    s3.before_put = dies
    with pytest.raises(StoreUnavailable):
        store.publish(publication(store_base), set_stable=True)
    assert any(path.endswith("adapter_model.safetensors") for path in s3.puts)
    assert (store.domains(), store.generation()) == ([], 0)
    s3.before_put = lambda path: None
    version = store.publish(publication(store_base), set_stable=True)
    assert load_adapter(Store(url), "voice", version, store_base).version == version


def test_the_manifest_comes_last_then_the_alias_then_the_index(url, store_base, s3):
    """Who sees a name finds what it stands for."""
    Store(url).publish(publication(store_base), set_stable=True)
    assert names_of(s3.puts)[5:] == ["manifest.json", "aliases.json", "index.json"]


def rival(s3, file, act):
    """Lets `act` happen once, on a thread of its own, just before a file of that name is put; returns its end."""
    began, over = threading.Event(), threading.Event()

    def meanwhile(path):
        if path.endswith(f"/{file}") and not began.is_set():
            began.set()
            act()
            over.set()

    s3.before_put = meanwhile
    return over


def test_of_two_who_flip_one_alias_one_is_told_to_try_again(url, store_base, s3):
    """If-Match: the second writer changes nothing, the first one's flip stays, and a second try works."""
    store = Store(url)
    one, two, three = (store.publish(publication(store_base, seed), set_stable=True) for seed in range(3))
    over = rival(s3, "aliases.json", lambda: Store(url).set_alias("voice", "stable", one))
    with pytest.raises(StoreConflict, match="try again"):
        store.set_alias("voice", "stable", two)
    assert over.is_set()
    assert store.aliases("voice").version("stable") == one
    store.set_alias("voice", "stable", two)
    history = [(change.from_version, change.to_version) for change in store.aliases("voice").history]
    assert history[-2:] == [(three, one), (one, two)]


@pytest.mark.parametrize("removal", ["remove", "prune"])
def test_a_version_that_another_writer_promotes_is_not_removed(url, store_base, monkeypatch, removal):
    """An alias pointed at it once the remover has looked: the remover is told to try again, and the version stays."""
    store = Store(url)
    old, new = (store.publish(publication(store_base, seed), set_stable=seed > 0) for seed in range(2))
    apply = RemoteChange.apply

    def second(change):
        monkeypatch.setattr(RemoteChange, "apply", apply)
        Store(url).set_alias("voice", "stable", old)
        apply(change)

    monkeypatch.setattr(RemoteChange, "apply", second)
    with pytest.raises(StoreConflict):
        store.remove("voice", old) if removal == "remove" else store.prune("voice", keep=1)
    assert store.versions("voice") == [old, new]
    assert load_adapter(store, "voice", old, store_base).version == store.aliases("voice").version("stable")


def test_a_removal_that_stops_half_way_leaves_no_version(url, store_base, monkeypatch):
    """The manifest goes first: what is left of the other files does not count, and its number stays taken."""
    store = Store(url)
    old, new = (store.publish(publication(store_base, seed), set_stable=True) for seed in range(2))

    def fails(*_arguments, **_options):
        raise OSError("the connection is gone")

    with monkeypatch.context() as patched:
        patched.setattr(store._storage._files, "rm", fails)
        with pytest.raises(StoreUnavailable, match="the connection is gone"):
            store.remove("voice", old)
    assert store.versions("voice") == [new]
    assert store.last_number("voice") == 2


def test_a_first_alias_is_not_overwritten(url, store_base, s3):
    """If-None-Match: neither of two first publishers of a domain loses what the other wrote."""
    over = rival(s3, "aliases.json", lambda: Store(url).publish(publication(store_base, 1), set_stable=True))
    with pytest.raises(StoreConflict):
        Store(url).publish(publication(store_base, 2), set_stable=True)
    assert over.is_set()
    [version] = Store(url).versions("voice")  # the second one's version was taken away with its claim
    assert Store(url).aliases("voice").version("stable") == version


def test_publishers_who_race_all_succeed_in_the_end(url, store_base):
    """Four at once, each trying again when told to: four versions, numbers 1 to 4, and every change counted."""
    told = []

    def publish(seed):
        store = Store(url)
        while True:
            try:
                return store.publish(publication(store_base, seed), set_stable=True)
            except StoreConflict as conflict:
                told.append(conflict)

    threads = [threading.Thread(target=publish, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = Store(url)
    versions = store.versions("voice")
    assert [version.partition("-")[0] for version in versions] == ["1", "2", "3", "4"]
    assert store.generation() == 4
    assert len(store.aliases("voice").history) == 4
    assert store.aliases("voice").version("stable") == versions[-1]


def test_writers_of_two_domains_do_not_hinder_each_other(url, store_base, s3):
    """The one file they share is renewed until it counts both."""
    over = rival(s3, "index.json", lambda: Store(url).publish(publication(store_base, 1, "other"), set_stable=True))
    Store(url).publish(publication(store_base, 2), set_stable=True)
    assert over.is_set()
    assert (Store(url).domains(), Store(url).generation()) == (["other", "voice"], 2)


def test_a_write_whose_answer_was_lost_counts(url, store_base, s3, monkeypatch):
    """The library sends it again and finds its own first try in the way: no conflict, and nothing is taken back."""
    store = Store(url)
    real, lost = RemoteStorage(url)._puts.__class__.put, []

    def put(self, path, content, etag):
        real(self, path, content, etag)
        if path.endswith("aliases.json") and not lost:
            lost.append(path)
            real(self, path, content, etag)

    monkeypatch.setattr("lorb_adapters.store.storage.conditional_puts.ConditionalPuts.put", put)
    version = store.publish(publication(store_base), set_stable=True)
    assert lost
    assert store.versions("voice") == [version]


class TestWithoutConditionalWrites:
    """A server that ignores the headers, as older ones do: one publisher at a time, and others are found out."""

    @pytest.fixture(autouse=True)
    def old_server(self, s3):
        """It knows no conditions."""
        s3.knows_conditions = False

    def test_it_is_found_out_by_asking(self, url, s3):
        """Two writes that must be refused are not: so the server is taken at its deeds."""
        assert not RemoteStorage(url)._puts.offered
        s3.knows_conditions = True
        assert RemoteStorage(url)._puts.offered

    def test_one_publisher_works_as_ever(self, url, store_base):
        """Publish twice, roll back."""
        store = Store(url)
        versions = [store.publish(publication(store_base, seed), set_stable=True) for seed in range(2)]
        assert store.rollback("voice").to_version == versions[0]

    def test_a_second_one_is_found_out_after_the_write(self, url, store_base, s3):
        """Another alias file is there than the one just written: the writer is told, with the rule."""
        store = Store(url)
        one, two = (store.publish(publication(store_base, seed), set_stable=True) for seed in range(2))
        path = f"{url}/voice/aliases.json"
        files = s3fs.S3FileSystem()
        theirs = json.dumps(json.loads(files.cat_file(path)), indent=5).encode()

        def overwrite(put):
            if put.endswith("aliases.json"):
                s3.after_put = lambda put: None
                files.pipe_file(path, theirs)

        s3.after_put = overwrite
        with pytest.raises(StoreConflict, match="one publisher at a time"):
            store.set_alias("voice", "stable", one)
        assert store.aliases("voice").version("stable") == two

    def test_a_change_since_the_reading_is_found_out_before_the_write(self, url, store_base):
        """Nothing is overwritten."""
        store = Store(url)
        one = store.publish(publication(store_base), set_stable=True)

        def overtaken():
            with store._storage.change() as change:
                store.aliases("voice")
                Store(url).set_alias("voice", "shadow", one)
                change.put_file("voice/aliases.json", b"{}")

        with pytest.raises(StoreConflict, match="try again"):
            overtaken()
        assert store.aliases("voice").version("shadow") == one


def test_a_bucket_that_is_not_there_is_not_made(url, store_base, s3):
    """A mistyped name is an error that says where, not a new bucket."""
    with pytest.raises(StoreUnavailable, match="no-such-bucket"):
        Store("s3://no-such-bucket/store").publish(publication(store_base), set_stable=True)
    assert not s3fs.S3FileSystem().exists("no-such-bucket")


def test_what_is_not_there_is_unknown(url, store_base):
    """S3's own errors for missing objects read as a missing version."""
    store = Store(url)
    store.publish(publication(store_base), set_stable=True)
    with pytest.raises(UnknownVersion):
        store.manifest("voice", "9-0123456789ab")
