"""lorb_adapters.store.storage.local_folder."""

import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from lorb.errors import InvalidAdapter, StoreConflict, StoreUnavailable
from lorb_adapters.store.storage import local_folder as folder
from lorb_adapters.store.storage.local_folder import LocalFolder


@pytest.fixture
def storage(tmp_path) -> LocalFolder:
    """A folder "a" with a file and a folder "one" of two files."""
    storage = LocalFolder(tmp_path / "store", lock_seconds=0.2)
    with storage.change() as change:
        change.put_folder("a/one", {"x": b"x", "y": b"y"})
        change.put_file("a/file", b"before")
    return storage


def tree(storage: LocalFolder) -> dict[str, bytes]:
    """Every file of the store but its lock."""
    return {
        str(path.relative_to(storage.root)): path.read_bytes()
        for path in sorted(storage.root.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def change_everything(storage: LocalFolder) -> None:
    """Five writes, then four renames: a new folder, a new file, a replaced file, a removed folder."""
    with storage.change() as change:
        change.put_folder("b/two", {"x": b"x", "y": b"y"})
        change.put_file("b/new", b"new")
        change.put_file("a/file", b"after")
        change.remove_folder("a/one", "z")


def change_a_and_b(storage: LocalFolder) -> None:
    """Replaces a file in one folder, then writes one in another."""
    with storage.change() as change:
        change.put_file("a/file", b"after")
        change.put_file("b/file", b"x")


def test_a_change_is_seen_when_it_ends(storage):
    """Nothing of a change is there before its end, everything after it."""
    with storage.change() as change:
        change.put_folder("a/two", {"z": b"z"})
        change.put_file("a/file", b"after")
        change.remove_folder("a/one", "z")
        assert tree(storage)["a/file"] == b"before"
        assert storage.names("a") == ["file", "one"]
    assert tree(storage) == {"a/file": b"after", "a/two/z": b"z"}


def test_a_change_that_raises_leaves_everything(storage):
    """An error inside a change takes back all of it, and leaves no files behind."""
    before = tree(storage)

    def fail_half_way():
        with storage.change() as change:
            change.put_folder("a/two", {"z": b"z"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert tree(storage) == before
    assert not (storage.root / ".tmp").exists()


def test_a_full_disk_leaves_everything(storage, monkeypatch):
    """No space left at any of the writes: a clear error, and the store as it was."""
    before, write = tree(storage), folder._write_synced
    for failing in range(5):
        calls = iter(range(100))

        def full(path, content, calls=calls, failing=failing):
            if next(calls) == failing:
                path.write_bytes(content[:1])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write(path, content)

        monkeypatch.setattr(folder, "_write_synced", full)
        with pytest.raises(StoreUnavailable, match="No space left on device"):
            change_everything(storage)
        assert tree(storage) == before


@pytest.mark.parametrize("failing", [0, 1, 2, 3])
def test_a_rename_that_fails_takes_the_others_back(storage, monkeypatch, failing):
    """Whichever rename fails, those before it are undone: folders, files new and replaced, removals."""
    before, rename, calls = tree(storage), os.replace, iter(range(100))

    def broken(source, target):
        if next(calls) == failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(source, target)

    monkeypatch.setattr(folder.os, "replace", broken)
    with pytest.raises(StoreUnavailable, match="Input/output error"):
        change_everything(storage)
    assert tree(storage) == before


def test_a_folder_that_is_there_is_never_replaced(storage):
    """Putting a folder where one is raises StoreConflict and leaves the first."""
    before = tree(storage)
    with pytest.raises(StoreConflict, match=r"a/one .*try again"), storage.change() as change:
        change.put_folder("a/one", {"x": b"other"})
    assert tree(storage) == before


def test_a_killed_writer_blocks_nobody(storage):
    """What a killed writer left is not listed, does not block the next change, and can be swept."""
    left = storage.root / ".tmp" / "0123"
    (left / "0").mkdir(parents=True)
    (left / "0" / "x").write_bytes(b"half")
    with storage.change() as change:
        change.put_file("a/file", b"after")
    assert storage.folders_with("a", "x") == ["one"]
    assert storage.sweep(dry_run=True) == [".tmp/0123"]
    assert left.exists()
    assert storage.sweep(dry_run=False) == [".tmp/0123"]
    assert not left.exists()
    assert storage.sweep(dry_run=False) == []


def test_a_writer_killed_while_it_holds_the_lock_blocks_nobody(storage):
    """The lock dies with its process, and what the process had begun is never seen."""
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
    [left] = storage.sweep(dry_run=True)
    assert {path: content for path, content in tree(storage).items() if not path.startswith(left)} == before
    with storage.change() as change:
        change.put_folder("a/two", {"x": b"y"})
    assert storage.read("a/two/x", 10) == b"y"


def test_a_writer_that_does_not_finish_is_a_conflict(storage):
    """Who cannot have the lock is told to try again; a lock file without an owner is no lock."""
    with (storage.root / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreConflict, match="try again"), storage.change():
            pass
    with storage.change() as change:
        change.put_file("a/file", b"after")
    assert storage.read("a/file", 10) == b"after"


def test_files_are_as_readable_as_the_umask_lets_them(storage):
    """A server under another user can read what a publisher wrote."""
    mask = os.umask(0o022)
    try:
        with storage.change() as change:
            change.put_folder("a/two", {"z": b"z"})
    finally:
        os.umask(mask)
    assert (storage.root / "a/two").stat().st_mode & 0o777 == 0o755
    assert (storage.root / "a/two/z").stat().st_mode & 0o777 == 0o644


def test_no_link_is_followed(storage, tmp_path):
    """A link in place of a file, a folder or a folder above them is refused, wherever it leads."""
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
            storage.names(path)
    assert storage.folders_with("a", "x") == ["one"]


def test_nothing_is_written_through_a_link(storage, tmp_path):
    """A link where a folder should be keeps a change from leaving the store."""
    (tmp_path / "elsewhere").mkdir()
    (storage.root / "b").symlink_to(tmp_path / "elsewhere")
    before = tree(storage)
    with pytest.raises(StoreUnavailable, match="symbolic link"):
        change_a_and_b(storage)
    assert tree(storage) == before
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("name", [".tmp", ".lock"])
def test_what_writers_need_may_be_no_link(storage, tmp_path, name):
    """Neither a change nor a sweep follows one, whoever put it there: what it leads to stays as it is."""
    victim = tmp_path / "victim"
    (victim / "precious").mkdir(parents=True)
    (victim / "precious" / "x").write_bytes(b"x")
    (storage.root / name).unlink(missing_ok=True)
    (storage.root / name).symlink_to(victim if name == ".tmp" else victim / "new")
    before = tree(storage)
    for dry_run in (True, False):
        with pytest.raises(StoreUnavailable, match=rf"{name} is a symbolic link.*remove it"):
            storage.sweep(dry_run=dry_run)
    with pytest.raises(StoreUnavailable, match=rf"{name} is a symbolic link.*remove it"):
        change_a_and_b(storage)
    assert tree(storage) == before
    assert [path.name for path in sorted(victim.rglob("*"))] == ["precious", "x"]


def test_a_lock_that_is_a_named_pipe_hangs_nobody(storage):
    """Opening one waits for a writer, unless told not to."""
    (storage.root / ".lock").unlink()
    os.mkfifo(storage.root / ".lock")
    with storage.change() as change:
        change.put_file("a/file", b"after")
    assert storage.read("a/file", 10) == b"after"


def test_the_store_itself_may_be_a_link(storage, tmp_path):
    """Where the store lies is the operator's choice."""
    (tmp_path / "link").symlink_to(storage.root)
    assert LocalFolder(tmp_path / "link").read("a/file", 10) == b"before"


def test_only_regular_files_are_read(storage):
    """A named pipe does not hang the reader, and a folder is no file."""
    os.mkfifo(storage.root / "a/one/pipe")
    for path in ("a/one/pipe", "a/one"):
        with pytest.raises((InvalidAdapter, StoreUnavailable)):
            storage.read(path, 10)


def test_a_file_over_the_limit_is_refused(storage):
    """A file is read up to its limit and no further."""
    assert storage.read("a/file", 6) == b"before"
    with pytest.raises(InvalidAdapter, match="a/file is larger than 5 bytes"):
        storage.read("a/file", 5)


def test_a_store_that_is_not_there_says_so(tmp_path):
    """A wrong path is told from an empty store."""
    with pytest.raises(StoreUnavailable, match="does not exist"):
        LocalFolder(tmp_path / "nowhere").names("")


def test_a_store_that_is_a_file_says_so(tmp_path):
    """A path to a file is a user's error, to readers and to writers."""
    (tmp_path / "file").write_text("x")
    storage = LocalFolder(tmp_path / "file")
    with pytest.raises(StoreUnavailable, match="is not a folder"):
        storage.names("")
    with pytest.raises(StoreUnavailable, match="is not a folder"), storage.change():
        pass


def test_reading_writes_nothing(storage):
    """Readers leave no file behind, a lock least of all."""
    (storage.root / ".lock").unlink()
    before = sorted(storage.root.rglob("*"))
    storage.read("a/file", 10)
    storage.names("a")
    storage.folders_with("a", "x")
    assert sorted(storage.root.rglob("*")) == before


@pytest.mark.parametrize("path", ["a/one", "a/file"])
def test_a_stamp_tells_a_change(storage, path):
    """The same as long as nothing happens; another one once a file is replaced, or a folder taken away."""
    before = storage.stamp([path, "a"])
    assert storage.stamp([path, "a"]) == before
    change_everything(storage)
    assert storage.stamp([path, "a"]) != before


def test_a_file_replaced_by_an_equal_one_is_another(storage):
    """A stamp needs no look into the file, so it errs on the safe side."""
    before = storage.stamp(["a/file"])
    with storage.change() as change:
        change.put_file("a/file", b"before")
    assert storage.stamp(["a/file"]) != before
