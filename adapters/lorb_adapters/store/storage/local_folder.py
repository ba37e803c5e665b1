"""A store in a local folder: reads that follow no link, and changes that happen wholly or not at all.

A change is written and synced under .tmp, then renamed into place, while .lock is held. A writer that is
killed leaves no more than a folder under .tmp, which nobody reads; its lock dies with it. Reading needs none.
"""

import errno
import fcntl
import os
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lorb.errors import InvalidAdapter, StoreConflict, StoreUnavailable
from lorb_adapters.store.storage.storage import Change

_LOCK = ".lock"
_STAGING = ".tmp"
_LOCK_POLL_SECONDS = 0.02
_READ_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # non-blocking: a named pipe must not hang us
_LOCK_FILE = _READ_FILE | os.O_CREAT  # read-only will do: another user's publisher made it


class LocalFolder:
    """A folder. The folder itself may be a link, as an operator put it there; nothing in it may."""

    def __init__(self, root: Path, *, lock_seconds: float = 30.0) -> None:
        self.root = root
        self._lock_seconds = lock_seconds

    def read(self, path: str, max_bytes: int) -> bytes:
        """One file's bytes, read once."""
        *parents, name = path.split("/")
        with (
            _explained(path),
            self._opened(parents) as folder,
            open(os.open(name, _READ_FILE, dir_fd=folder), "rb") as file,
        ):
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise InvalidAdapter(f"{path} is not a regular file", field=path)
            content = file.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise InvalidAdapter(f"{path} is larger than {max_bytes} bytes", field=path)
        return content

    def names(self, path: str) -> list[str]:
        """Everything in a folder, sorted."""
        with _explained(path), self._opened(_parts(path)) as folder:
            return sorted(os.listdir(folder))

    def folders_with(self, path: str, file: str) -> list[str]:
        """The real folders in a folder that hold a real file `file`, sorted."""
        with _explained(path), self._opened(_parts(path)) as folder:
            return sorted(name for name in os.listdir(folder) if _holds(folder, name, file))

    def stamp(self, paths: Sequence[str]) -> str | None:
        """Of what stands in the folders that hold `paths`: inode, size and times."""
        return " ".join(self._stamp(path) for path in paths)

    def found(self) -> None:
        """Makes the folder where there is none."""
        with _written(self.root):
            try:
                self.root.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError) as file:
                raise StoreUnavailable(f"the store {self.root} is not a folder", field="store") from file

    @contextmanager
    def change(self) -> Iterator[Change]:
        """Begins a change, alone among all writers; what it wrote is undone where anything fails."""
        with _written(self.root), self._locked():
            staging = self.root / _STAGING / uuid.uuid4().hex
            staging.mkdir(parents=True)
            try:
                change = _FolderChange(self.root, staging)
                yield change
                change.apply()
            finally:
                shutil.rmtree(staging, ignore_errors=True)
                with suppress(OSError):  # others' leftovers are prune's to sweep
                    staging.parent.rmdir()

    def sweep(self, *, dry_run: bool) -> list[str]:
        """Removes what killed writers left: with the lock held, everything under .tmp is theirs."""
        with _written(self.root), self._locked():
            try:
                with self._opened([_STAGING]) as staging:
                    left = sorted(os.listdir(staging))
                    for name in left if not dry_run else ():
                        shutil.rmtree(name, dir_fd=staging)  # not by its path, which may become a link meanwhile
            except FileNotFoundError:
                return []
            return [f"{_STAGING}/{name}" for name in left]

    def _stamp(self, path: str) -> str:
        try:
            found = os.stat(self.root / path, follow_symlinks=False)
        except OSError as missing:
            return f"{type(missing).__name__}"
        return f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}"

    @contextmanager
    def _opened(self, parts: Sequence[str]) -> Iterator[int]:
        """Walks down without following a link; yields the last folder's descriptor."""
        try:
            folder = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError as missing:
            raise StoreUnavailable(f"the store {self.root} does not exist", field="store") from missing
        except NotADirectoryError as file:
            raise StoreUnavailable(f"the store {self.root} is not a folder", field="store") from file
        try:
            for part in parts:
                inner = os.open(part, _READ_FOLDER, dir_fd=folder)
                os.close(folder)
                folder = inner
            yield folder
        finally:
            os.close(folder)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.found()
        for name in (_LOCK, _STAGING):
            _refuse_link(self.root / name)
        with open(os.open(self.root / _LOCK, _LOCK_FILE, 0o666), "rb") as lock:
            give_up = time.monotonic() + self._lock_seconds
            while not _try_lock(lock.fileno()):
                if time.monotonic() > give_up:
                    raise StoreConflict(
                        f"another writer holds {self.root / _LOCK} for {self._lock_seconds:.0f} s: try again"
                    )
                time.sleep(_LOCK_POLL_SECONDS)
            yield  # closing the file gives the lock back


@dataclass(frozen=True, slots=True)
class _Move:
    """One rename, and the rename that takes it back."""

    source: Path
    target: Path
    back_from: Path
    back_to: Path


class _FolderChange:
    """Everything is on the disk before the first rename, so that a full disk is found out in time."""

    def __init__(self, root: Path, staging: Path) -> None:
        self._root = root
        self._staging = staging
        self._moves: list[_Move] = []

    def put_folder(self, path: str, files: Mapping[str, bytes]) -> None:
        staged, target = self._staged(), self._root / path
        staged.mkdir()
        for name, content in files.items():
            _write_synced(staged / name, content)
        _sync_folder(staged)
        self._moves.append(_Move(staged, target, target, staged))

    def put_file(self, path: str, content: bytes) -> None:
        staged, target = self._staged(), self._root / path
        _write_synced(staged, content)
        if not target.exists():
            self._moves.append(_Move(staged, target, target, staged))
            return
        previous = staged.with_suffix(".previous")
        _write_synced(previous, target.read_bytes())
        self._moves.append(_Move(staged, target, previous, target))

    def renew_file(self, path: str, render: Callable[[], bytes]) -> None:
        self.put_file(path, render())  # with the lock held nobody comes in between

    def remove_folder(self, path: str, first: str) -> None:
        staged, source = self._staged(), self._root / path  # one rename takes all at once
        self._moves.append(_Move(source, staged, staged, source))

    def apply(self) -> None:
        done: list[_Move] = []
        try:
            for move in self._moves:
                self._make_parents(move.target)
                os.replace(move.source, move.target)
                done.append(move)
                _sync_folder(move.target.parent)
                _sync_folder(move.source.parent)
        except Exception as problem:
            _take_back(done)
            if isinstance(problem, OSError) and problem.errno in (errno.EEXIST, errno.ENOTEMPTY):
                raise StoreConflict(f"{move.target} was there first: try again") from problem
            raise

    def _staged(self) -> Path:
        return self._staging / str(len(self._moves))

    def _make_parents(self, target: Path) -> None:
        """Makes the folders above `target`, each one safe on the disk; refuses to write through a link."""
        folder = self._root
        for part in target.parent.relative_to(self._root).parts:
            folder = folder / part
            _refuse_link(folder)
            if not folder.exists():
                folder.mkdir()
                _sync_folder(folder.parent)


def _refuse_link(path: Path) -> None:
    if path.is_symlink():
        raise StoreUnavailable(f"{path} is a symbolic link; LoRB follows none inside a store: remove it", field="store")


def _take_back(done: Sequence[_Move]) -> None:
    for move in reversed(done):
        with suppress(OSError):
            os.replace(move.back_from, move.back_to)


def _parts(path: str) -> list[str]:
    return path.split("/") if path else []


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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


def _holds(folder: int, name: str, file: str) -> bool:
    """Whether `name` is a real folder (no link) with an entry `file`."""
    try:
        inner = os.open(name, _READ_FOLDER, dir_fd=folder)
    except OSError:
        return False
    try:
        os.stat(file, dir_fd=inner, follow_symlinks=False)
    except OSError:
        return False
    finally:
        os.close(inner)
    return True


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Tells a link from a missing file, and both from a store that cannot be read."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as problem:
        if problem.errno in (errno.ELOOP, errno.ENOTDIR):
            raise InvalidAdapter(
                f"{path} is a symbolic link, or lies behind one; LoRB follows none inside a store", field=path
            ) from problem
        raise StoreUnavailable(f"{path} cannot be read: {problem.strerror}", field="store") from problem


@contextmanager
def _written(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise StoreUnavailable(f"the store {root} cannot be written: {problem.strerror}", field="store") from problem
