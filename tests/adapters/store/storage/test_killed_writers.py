"""lorb_adapters.store.store: a command that was killed at any write is completed by its repetition."""

import itertools
import shutil
import uuid

import fsspec
import pytest

from lorb_adapters.store.signing import SigningKey, create_key_pair
from lorb_adapters.store.store import Store
from support.adapters.killed_writers import Follower, killed_in_folder, killed_in_object_store
from support.adapters.publications import make_publication, publish

COMMANDS = {
    "promote": lambda store, versions, new: store.set_alias("voice", "stable", versions[0]),
    "canary": lambda store, versions, new: store.set_alias("voice", "canary", versions[1], 0.1),
    "shadow": lambda store, versions, new: store.set_alias("voice", "shadow", versions[1]),
    "unalias": lambda store, versions, new: store.remove_alias("voice", "old"),
    "rollback": lambda store, versions, new: store.rollback("voice"),
    "prune": lambda store, versions, new: store.prune("voice", keep=1),
    "remove": lambda store, versions, new: store.remove("voice", versions[1]),
    "import": lambda store, versions, new: store.add(new, set_stable=False),
    "import --promote": lambda store, versions, new: store.add(new, set_stable=True),
}
NOT_REPEATABLE = {"rollback", "remove"}  # after its end another one goes further back, or finds no version
CASES = [(kind, name) for kind in ("folder", "memory") for name in COMMANDS]
CASES += [("s3", name) for name in ("rollback", "prune")]  # with conditional writes


@pytest.fixture(scope="module")
def template(tmp_path_factory, store_base):
    """A store of four versions, the newest stable and also `old`, and the files of a new version."""
    folder = tmp_path_factory.mktemp("killed")
    store, other = Store(str(folder / "store")), Store(str(folder / "other"))
    versions = [publish(store, store_base, seed=seed) for seed in range(4)]
    store.set_alias("voice", "old", versions[3])
    new = [publish(other, store_base, seed=seed) for seed in range(5, 10)][-1]
    return store, versions, dict(other.read_files("voice", new))


@pytest.fixture
def copied(request, tmp_path, template):
    """Returns (a function that copies the template to a new store of this kind, a function that kills there)."""
    if request.param == "folder":

        def copy_folder() -> Store:
            return Store(shutil.copytree(template[0].url, tmp_path / uuid.uuid4().hex))

        return copy_folder, killed_in_folder
    url = request.getfixturevalue("s3_url") if request.param == "s3" else f"memory://{uuid.uuid4().hex}"

    def copy_objects() -> Store:
        target = f"{url}/{uuid.uuid4().hex}"
        files, root = fsspec.core.url_to_fs(target)
        source = template[0]._storage.root
        for path in sorted(source.rglob("*.*")):
            if path.is_file() and not path.name.startswith("."):
                place = f"{root}/{path.relative_to(source)}"
                if "s3" not in files.protocol:
                    files.makedirs(place.rpartition("/")[0], exist_ok=True)
                files.pipe_file(place, path.read_bytes())
        return Store(target)

    return copy_objects, killed_in_object_store


def outcome(store: Store):
    """Everything that a command may change, except times."""
    aliases = store.aliases("voice")
    changes = [
        (each.alias, each.from_version, each.to_version, each.is_rollback, each.is_unfinished)
        for each in aliases.history
    ]
    names = store._storage.list_names("voice/versions")
    return store.versions("voice"), names, aliases.by_name, changes, aliases.last_number, aliases.removing


def has_ended(store: Store, undisturbed: Store) -> bool:
    """Whether a killed command had ended but for the removal of its temporary files."""
    return outcome(store) == outcome(undisturbed) and store.generation() == undisturbed.generation()


@pytest.mark.parametrize(("copied", "name"), CASES, indirect=["copied"])
def test_a_repetition_completes_what_a_killed_command_began(copied, template, name):
    """Killed before any of its writes and repeated, a command ends as if never killed, and servers follow it."""
    copy, killed = copied
    _, versions, new = template

    def command(store: Store) -> object:
        return COMMANDS[name](store, versions, new)

    undisturbed = copy()
    command(undisturbed)
    for write in itertools.count():
        store = copy()
        server = Follower(store, "voice")
        server.poll()
        was_killed = killed(command, store, write)
        if not was_killed:
            break
        server.poll()
        if not (name in NOT_REPEATABLE and has_ended(store, undisturbed)):
            command(store)
        server.poll()
        assert outcome(store) == outcome(undisturbed), f"killed before write {write}"
        assert server.seen == server.read(), f"killed before write {write}"
    assert write > 2


on_both = pytest.mark.parametrize("copied", ["folder", "memory"], indirect=True)


@on_both
def test_a_repeated_publication_serves(copied, template, store_base):
    """Published again after a kill before any write, the adapter is stable, and servers follow."""
    copy, killed = copied
    publication = make_publication(store_base, seed=20, golden_lists=())
    for write in itertools.count():
        store = copy()
        server = Follower(store, "voice")
        server.poll()
        if not killed(lambda store: store.publish(publication, set_stable=True), store, write):
            break
        server.poll()
        version = store.publish(publication, set_stable=True)
        server.poll()
        assert server.seen == server.read()
        assert server.seen[1]["stable"].version == version == store.versions("voice")[-1]


@on_both
def test_a_version_without_its_aliases_is_completed(copied, template):
    """A version whose publisher was killed after the version's files were there is promoted, and servers follow."""
    copy, killed = copied
    _, versions, new = template
    completed = 0
    for write in itertools.count():
        store = copy()
        server = Follower(store, "voice")
        server.poll()
        if not killed(lambda store: store.add(new, set_stable=True), store, write):
            break
        if len(store.versions("voice")) > len(versions):
            server.poll()
            completed += 1
            store.complete_publication("voice", store.versions("voice")[-1], set_stable=True)
            server.poll()
            assert server.seen == server.read()
            assert server.seen[1]["stable"].version == store.versions("voice")[-1]
    assert completed > 1


@on_both
def test_the_next_rollback_goes_further_back(copied, template):
    """After a killed rollback was completed, another rollback goes back one version more."""
    copy, killed = copied
    versions = template[1]
    for write in itertools.count():
        store = copy()
        if not killed(lambda store: store.rollback("voice"), store, write):
            break
        last = store.aliases("voice").history[-1]
        if last.is_unfinished or not last.is_rollback:
            assert store.rollback("voice").to_version == versions[2]
        change = store.rollback("voice")
        assert (change.to_version, change.is_unfinished) == (versions[1], False)


@on_both
def test_a_promotion_ends_an_unfinished_rollback(copied, template):
    """A rollback after a killed rollback and a promotion undoes the promotion."""
    copy, killed = copied
    versions = template[1]
    for write in itertools.count():
        store = copy()
        if not killed(lambda store: store.rollback("voice"), store, write):
            break
        before = store.aliases("voice").version("stable")
        store.set_alias("voice", "stable", versions[0])
        assert store.rollback("voice").to_version == before


@on_both
def test_a_repeated_signature_is_the_same(copied, template, tmp_path):
    """Signing again after a kill before any write leaves the signature that one undisturbed run makes."""
    copy, killed = copied
    pytest.importorskip("cryptography")
    versions = template[1]
    create_key_pair(tmp_path / "key")
    key = SigningKey(tmp_path / "key")
    undisturbed = copy()
    undisturbed.sign("voice", versions[0], key)
    for write in itertools.count():
        store = copy()
        if not killed(lambda store: store.sign("voice", versions[0], key), store, write):
            break
        before = store.generation()
        store.sign("voice", versions[0], key)
        assert store.read_files("voice", versions[0]) == undisturbed.read_files("voice", versions[0])
        assert store.generation() > before
