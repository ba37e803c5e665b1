"""lorb_adapters.store.storage.folder_change, as a store in a local folder uses it."""

import errno
import os

import pytest

from lorb.errors import StoreConflict, StoreUnavailable
from lorb_adapters.store.storage import folder_change
from support.adapters.folder_trees import change_a_and_b, change_everything, tree


def test_a_change_is_visible_when_it_ends(storage):
    """Nothing of a change is visible before its end, and everything after it."""
    with storage.change() as change:
        change.put_folder("a/two", {"z": b"z"})
        change.put_file("a/file", b"after")
        change.remove_folder("a/one", "z")
        assert tree(storage)["a/file"] == b"before"
        assert storage.list_names("a") == ["file", "one"]
    assert tree(storage) == {"a/file": b"after", "a/two/z": b"z"}


def test_a_change_that_raises_changes_nothing(storage):
    """An error inside a change undoes all of it and leaves no files behind."""
    before = tree(storage)

    def fail_half_way():
        with storage.change() as change:
            change.put_folder("a/two", {"z": b"z"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert tree(storage) == before
    assert not (storage.root / ".tmp").exists()


def test_a_full_disk_changes_nothing(storage, monkeypatch):
    """If the disk is full at any of the writes, the error says so and the store is unchanged."""
    before, write = tree(storage), folder_change._write_synced
    for failing in range(5):
        calls = iter(range(100))

        def full(path, content, calls=calls, failing=failing):
            if next(calls) == failing:
                path.write_bytes(content[:1])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write(path, content)

        monkeypatch.setattr(folder_change, "_write_synced", full)
        with pytest.raises(StoreUnavailable, match="No space left on device"):
            change_everything(storage)
        assert tree(storage) == before


@pytest.mark.parametrize("failing", [0, 1, 2, 3])
def test_a_failed_rename_undoes_the_others(storage, monkeypatch, failing):
    """Whichever rename fails, those before it are undone: new folders, new and replaced files, removals."""
    before, rename, calls = tree(storage), os.replace, iter(range(100))

    def broken(source, target):
        if next(calls) == failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(source, target)

    monkeypatch.setattr(folder_change.os, "replace", broken)
    with pytest.raises(StoreUnavailable, match="Input/output error"):
        change_everything(storage)
    assert tree(storage) == before


def test_an_existing_folder_is_never_replaced(storage):
    """Adding a folder that exists raises StoreConflict and leaves the existing one."""
    before = tree(storage)
    with pytest.raises(StoreConflict, match=r"a/one .*try again"), storage.change() as change:
        change.put_folder("a/one", {"x": b"other"})
    assert tree(storage) == before


def test_written_files_follow_the_umask(storage):
    """With umask 022 a server under another user can read the written files and folders."""
    mask = os.umask(0o022)
    try:
        with storage.change() as change:
            change.put_folder("a/two", {"z": b"z"})
    finally:
        os.umask(mask)
    assert (storage.root / "a/two").stat().st_mode & 0o777 == 0o755
    assert (storage.root / "a/two/z").stat().st_mode & 0o777 == 0o644


def test_nothing_is_written_through_a_link(storage, tmp_path):
    """A link in place of a folder is refused, and nothing is written outside the store."""
    (tmp_path / "elsewhere").mkdir()
    (storage.root / "b").symlink_to(tmp_path / "elsewhere")
    before = tree(storage)
    with pytest.raises(StoreUnavailable, match="symbolic link"):
        change_a_and_b(storage)
    assert tree(storage) == before
    assert list((tmp_path / "elsewhere").iterdir()) == []
