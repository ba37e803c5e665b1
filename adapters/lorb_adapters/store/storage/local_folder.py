"""A store in a local folder: reads follow no links, and writers exclude each other by a lock file.

A change is written under .tmp and renamed into place while .lock is held. A killed writer leaves a folder under .tmp,
which readers ignore, and its lock is released. Readers need no lock.
"""

import errno
import fcntl
import os
import shutil
import stat
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from lorb.errors import InvalidAdapter, StoreConflict, StoreUnavailable
from lorb_adapters.store.storage.folder_change import FolderChange, refuse_link
from lorb_adapters.store.storage.protocol import Change, check_size

_LOCK = ".lock"
_STAGING = ".tmp"
_LOCK_POLL_SECONDS = 0.02
_READ_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a blocking open of a named pipe would hang
_LOCK_FILE = _READ_FILE | os.O_CREAT  # not opened for writing: the file may belong to another user


class LocalFolder:
    """Implements Storage in a folder. The folder itself may be a link; nothing inside it may be a link."""

    def __init__(self, root: Path, *, lock_seconds: float = 30.0) -> None:
        """`lock_seconds`: how long a writer waits for the lock."""
        self.root = root
        self._lock_seconds = lock_seconds

    def read(self, path: str, max_bytes: int) -> bytes:
        """Reads a regular file of at most `max_bytes`."""
        *parents, name = path.split("/")
        with (
            _read_errors(path),
            self._opened(parents) as folder,
            # open() closes the descriptor of an opener, also if it refuses a folder
            open(name, "rb", opener=lambda name, _: os.open(name, _READ_FILE, dir_fd=folder)) as file,
        ):
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise InvalidAdapter(f"{path} is not a regular file", field=path)
            check_size(path, status.st_size, max_bytes)
            content = file.read(max_bytes + 1)
        check_size(path, len(content), max_bytes)  # the file may have grown
        return content

    def list_names(self, path: str) -> list[str]:
        """Lists a folder, sorted."""
        with _read_errors(path), self._opened(_parts(path)) as folder:
            return sorted(os.listdir(folder))

    def list_folders_with(self, path: str, file: str) -> list[str]:
        """Lists the folders, not links, that hold `file`, sorted."""
        with _read_errors(path), self._opened(_parts(path)) as folder:
            return sorted(name for name in os.listdir(folder) if _folder_contains(folder, name, file))

    def change_token(self, paths: Sequence[str]) -> str | None:
        """Returns the inode, size and times of each of `paths`, as one string."""
        return " ".join(self._file_token(path) for path in paths)

    def create(self) -> None:
        """Creates the folder if it does not exist."""
        with _write_errors(self.root):
            try:
                self.root.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError) as problem:
                raise StoreUnavailable(f"the store {self.root} is not a folder", field="store") from problem

    @contextmanager
    def change(self) -> Iterator[Change]:
        """Begins a change as the only writer; any failure undoes it."""
        with _write_errors(self.root), self._locked():
            staging = self.root / _STAGING / uuid.uuid4().hex
            staging.mkdir(parents=True)
            try:
                change = FolderChange(self.root, staging)
                yield change
                change.apply()
            finally:
                shutil.rmtree(staging, ignore_errors=True)
                with suppress(OSError):  # .tmp is not empty if it also holds files of a killed writer
                    staging.parent.rmdir()

    def remove_leftovers(self, *, dry_run: bool) -> list[str]:
        """Removes all of .tmp: while this writer holds the lock, only killed writers' files can be there."""
        with _write_errors(self.root), self._locked():
            try:
                with self._opened([_STAGING]) as staging:
                    names = sorted(os.listdir(staging))
                    for name in names if not dry_run else ():
                        shutil.rmtree(name, dir_fd=staging)  # by descriptor, in case a link replaces .tmp meanwhile
            except FileNotFoundError:
                return []
            return [f"{_STAGING}/{name}" for name in names]

    def _file_token(self, path: str) -> str:
        try:
            status = os.stat(self.root / path, follow_symlinks=False)
        except OSError as problem:
            return type(problem).__name__
        return f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"

    @contextmanager
    def _opened(self, parts: Sequence[str]) -> Iterator[int]:
        """Opens each folder relative to the one above, without following links; yields the last one's descriptor."""
        try:
            folder = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError as problem:
            raise StoreUnavailable(f"the store {self.root} does not exist", field="store") from problem
        except NotADirectoryError as problem:
            raise StoreUnavailable(f"the store {self.root} is not a folder", field="store") from problem
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
        self.create()
        for name in (_LOCK, _STAGING):
            refuse_link(self.root / name)
        with open(os.open(self.root / _LOCK, _LOCK_FILE, 0o666), "rb") as lock:
            give_up = time.monotonic() + self._lock_seconds
            while not _try_lock(lock.fileno()):
                if time.monotonic() > give_up:
                    raise StoreConflict(
                        f"another writer has held {self.root / _LOCK} for {self._lock_seconds:.0f} s: try again"
                    )
                time.sleep(_LOCK_POLL_SECONDS)
            yield  # closing the file releases the lock


def _parts(path: str) -> list[str]:
    return path.split("/") if path else []


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _folder_contains(folder: int, name: str, file: str) -> bool:
    """Whether `name` is a folder, not a link, with an entry `file`."""
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
def _read_errors(path: str) -> Iterator[None]:
    """Turns an OSError into InvalidAdapter if `path` has a link, and else into StoreUnavailable.

    FileNotFoundError is passed on.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as problem:
        if problem.errno in (errno.ELOOP, errno.ENOTDIR):
            raise InvalidAdapter(
                f"{path} is a symbolic link or lies behind one; LoRB follows no links inside a store", field=path
            ) from problem
        raise StoreUnavailable(f"{path} cannot be read: {problem.strerror}", field="store") from problem


@contextmanager
def _write_errors(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise StoreUnavailable(f"the store {root} cannot be written: {problem.strerror}", field="store") from problem
