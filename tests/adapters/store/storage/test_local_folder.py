"""lorb_adapters.store.storage.local_folder."""

import fcntl
import os
import signal
import subprocess
import sys

import pytest

from lorb.errors import InvalidAdapter, StoreConflict, StoreUnavailable
from lorb_adapters.store.storage.local_folder import LocalFolder
from support.adapters.folder_trees import change_a_and_b, change_everything, tree


def test_a_killed_writer_does_not_block_others(storage):
    """A killed writer's files are not listed, do not block the next change, and can be removed."""
    left = storage.root / ".tmp" / "0123"
    (left / "0").mkdir(parents=True)
    (left / "0" / "x").write_bytes(b"half")
    with storage.change() as change:
        change.put_file("a/file", b"after")
    assert storage.list_folders_with("a", "x") == ["one"]
    assert storage.remove_leftovers(dry_run=True) == [".tmp/0123"]
    assert left.exists()
    assert storage.remove_leftovers(dry_run=False) == [".tmp/0123"]
    assert not left.exists()
    assert storage.remove_leftovers(dry_run=False) == []


def test_a_writer_killed_with_the_lock_does_not_block_others(storage):
    """The lock of a killed process is released, and its unfinished change is never visible."""
    before = tree(storage)
    code = (
        "import os, sys, pathlib; from lorb_adapters.store.storage.local_folder import LocalFolder\n"
        "with LocalFolder(pathlib.Path(sys.argv[1])).change() as change:\n"
        "    change.put_folder('a/two', {'x': b'x'})\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code, str(storage.root)], env=environment, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    [left] = storage.remove_leftovers(dry_run=True)
    assert {path: content for path, content in tree(storage).items() if not path.startswith(left)} == before
    with storage.change() as change:
        change.put_folder("a/two", {"x": b"y"})
    assert storage.read("a/two/x", 10) == b"y"


def test_a_lock_held_too_long_is_a_conflict(storage):
    """A writer that cannot get the lock in time gets StoreConflict; an unlocked lock file does not block a change."""
    with (storage.root / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreConflict, match="try again"), storage.change():
            pass
    with storage.change() as change:
        change.put_file("a/file", b"after")
    assert storage.read("a/file", 10) == b"after"


def test_no_link_is_followed(storage, tmp_path):
    """A link in place of a file, a folder or a folder above is refused, wherever it leads."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "x").write_bytes(b"secret")
    (storage.root / "a/one/link").symlink_to(storage.root / "a/one/x")
    (storage.root / "a/linked").symlink_to(storage.root / "a/one")
    (storage.root / "b").symlink_to(tmp_path / "secret")
    for path in ("a/one/link", "a/linked/x", "b/x"):
        with pytest.raises(InvalidAdapter, match="symbolic link"):
            storage.read(path, 100)
    for path in ("a/linked", "b"):
        with pytest.raises(InvalidAdapter, match="symbolic link"):
            storage.list_names(path)
    assert storage.list_folders_with("a", "x") == ["one"]


@pytest.mark.parametrize("name", [".tmp", ".lock"])
def test_the_lock_and_staging_folder_may_not_be_links(storage, tmp_path, name):
    """A link in place of .lock or .tmp is refused, and its target stays unchanged."""
    victim = tmp_path / "victim"
    (victim / "precious").mkdir(parents=True)
    (victim / "precious" / "x").write_bytes(b"x")
    (storage.root / name).unlink(missing_ok=True)
    (storage.root / name).symlink_to(victim if name == ".tmp" else victim / "new")
    before = tree(storage)
    for dry_run in (True, False):
        with pytest.raises(StoreUnavailable, match=rf"{name} is a symbolic link.*remove it"):
            storage.remove_leftovers(dry_run=dry_run)
    with pytest.raises(StoreUnavailable, match=rf"{name} is a symbolic link.*remove it"):
        change_a_and_b(storage)
    assert tree(storage) == before
    assert [path.name for path in sorted(victim.rglob("*"))] == ["precious", "x"]


def test_a_lock_that_is_a_named_pipe_does_not_block(storage):
    """A named pipe in place of .lock does not block a change."""
    (storage.root / ".lock").unlink()
    os.mkfifo(storage.root / ".lock")
    with storage.change() as change:
        change.put_file("a/file", b"after")
    assert storage.read("a/file", 10) == b"after"


def test_the_store_itself_may_be_a_link(storage, tmp_path):
    """A store whose own folder is a link can be read."""
    (tmp_path / "link").symlink_to(storage.root)
    assert LocalFolder(tmp_path / "link").read("a/file", 10) == b"before"


def test_only_regular_files_are_read(storage):
    """Reading a named pipe or a folder fails without blocking."""
    os.mkfifo(storage.root / "a/one/pipe")
    for path in ("a/one/pipe", "a/one"):
        with pytest.raises((InvalidAdapter, StoreUnavailable)):
            storage.read(path, 10)


def test_a_folder_in_the_place_of_a_file_leaves_no_descriptor_open(storage):
    """Reading a folder fails without using up a file descriptor: a server reads it again and again."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        with pytest.raises((InvalidAdapter, StoreUnavailable)):
            storage.read("a/one", 10)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_over_the_limit_is_refused(storage):
    """A file of exactly the limit is read, and a larger one is refused."""
    assert storage.read("a/file", 6) == b"before"
    with pytest.raises(InvalidAdapter, match="a/file is larger than 5 bytes"):
        storage.read("a/file", 5)


def test_a_missing_store_is_an_error(tmp_path):
    """Reading a store that does not exist raises StoreUnavailable."""
    with pytest.raises(StoreUnavailable, match="does not exist"):
        LocalFolder(tmp_path / "nowhere").list_names("")


def test_a_store_that_is_a_file_is_an_error(tmp_path):
    """A file in place of the store's folder is an error for readers and writers."""
    (tmp_path / "file").write_text("x")
    storage = LocalFolder(tmp_path / "file")
    with pytest.raises(StoreUnavailable, match="is not a folder"):
        storage.list_names("")
    with pytest.raises(StoreUnavailable, match="is not a folder"), storage.change():
        pass


def test_reading_writes_nothing(storage):
    """Reading creates no file, not even the lock."""
    (storage.root / ".lock").unlink()
    before = sorted(storage.root.rglob("*"))
    storage.read("a/file", 10)
    storage.list_names("a")
    storage.list_folders_with("a", "x")
    assert sorted(storage.root.rglob("*")) == before


@pytest.mark.parametrize("path", ["a/one", "a/file"])
def test_a_change_token_differs_after_a_change(storage, path):
    """The token is stable until a file is replaced or a folder removed."""
    before = storage.change_token([path, "a"])
    assert storage.change_token([path, "a"]) == before
    change_everything(storage)
    assert storage.change_token([path, "a"]) != before


def test_a_change_token_differs_after_an_equal_replacement(storage):
    """Replacing a file by one with the same content changes the token."""
    before = storage.change_token(["a/file"])
    with storage.change() as change:
        change.put_file("a/file", b"before")
    assert storage.change_token(["a/file"]) != before
