"""Replaces a file as a whole: readers find the old content or the new, also after a crash or on a full disk."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from lorb.errors import InvalidInput


def partial_path(path: Path) -> Path:
    """Returns the path of the temporary file that `atomic_file` writes. A killed process leaves this file behind."""
    return path.with_name(f"{path.name}.partial")


@contextmanager
def atomic_file(path: Path, field: str, *, sync: bool = False) -> Iterator[BinaryIO]:
    """Yields a temporary file that replaces `path` at the end, and is removed on an error.

    Args:
        path: its folder must exist.
        field: the name of the option that gave `path`; the error's `field`.
        sync: whether to wait at the end until the new content is on the disk, not only in the system's cache.

    Raises InvalidInput, which names `path`, if the system refuses to write.
    """
    partial = partial_path(path)
    try:
        with open(partial, "wb") as file:
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(partial, path)
        if sync:
            _sync_folder(path.parent)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}", field=field) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # makes a file's new name durable too
    finally:
        os.close(descriptor)
