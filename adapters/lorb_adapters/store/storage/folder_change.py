"""Applies a change to a local store atomically.

Every file is written and synced in a staging folder before the first rename, so that a full disk changes nothing.
"""

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lorb.errors import StoreConflict, StoreUnavailable


@dataclass(frozen=True, slots=True)
class _Move:
    """One rename, and the rename that undoes it."""

    source: Path
    target: Path
    undo_source: Path
    undo_target: Path


class FolderChange:
    """Implements Change for the tree under `root`; the caller holds the store's lock."""

    def __init__(self, root: Path, staging: Path) -> None:
        self._root = root
        self._staging = staging
        self._moves: list[_Move] = []

    def put_folder(self, path: str, files: Mapping[str, bytes]) -> None:
        """Adds a new folder."""
        staged, target = self._next_staged(), self._root / path
        staged.mkdir()
        for name, content in files.items():
            _write_synced(staged / name, content)
        _sync_folder(staged)
        self._moves.append(_Move(staged, target, target, staged))

    def put_file(self, path: str, content: bytes) -> None:
        """Writes or replaces a file."""
        staged, target = self._next_staged(), self._root / path
        _write_synced(staged, content)
        if not target.exists():
            self._moves.append(_Move(staged, target, target, staged))
            return
        previous = staged.with_suffix(".previous")
        _write_synced(previous, target.read_bytes())
        self._moves.append(_Move(staged, target, previous, target))

    def update_file(self, path: str, render: Callable[[], bytes]) -> None:
        """Replaces a file by what `render` returns. One call is enough: the lock excludes other writers."""
        self.put_file(path, render())

    def remove_folder(self, path: str, first: str) -> None:
        """Removes a folder if it exists; one rename removes all its files at once, so `first` is ignored."""
        staged, source = self._next_staged(), self._root / path
        if os.path.lexists(source):
            self._moves.append(_Move(source, staged, staged, source))

    def apply(self) -> None:
        """Renames everything into place; undoes all renames if one fails.

        Raises StoreConflict if a new folder exists already.
        """
        done: list[_Move] = []
        try:
            for move in self._moves:
                self._make_parents(move.target)
                os.replace(move.source, move.target)
                done.append(move)
                _sync_folder(move.target.parent)
                _sync_folder(move.source.parent)
        except Exception as problem:
            _undo(done)
            if isinstance(problem, OSError) and problem.errno in (errno.EEXIST, errno.ENOTEMPTY):
                raise StoreConflict(f"{move.target} exists already: try again") from problem
            raise

    def _next_staged(self) -> Path:
        return self._staging / str(len(self._moves))

    def _make_parents(self, target: Path) -> None:
        """Creates and syncs the folders above `target`; refuses to write through a link."""
        folder = self._root
        for part in target.parent.relative_to(self._root).parts:
            folder = folder / part
            refuse_link(folder)
            if not folder.exists():
                folder.mkdir()
                _sync_folder(folder.parent)


def refuse_link(path: Path) -> None:
    """Raises StoreUnavailable if `path` is a symbolic link."""
    if path.is_symlink():
        raise StoreUnavailable(
            f"{path} is a symbolic link; LoRB follows no links inside a store: remove it", field="store"
        )


def _undo(done: Sequence[_Move]) -> None:
    for move in reversed(done):
        with suppress(OSError):
            os.replace(move.undo_source, move.undo_target)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
