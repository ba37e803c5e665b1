"""A folder for a base that is written whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lorb.errors import InvalidInput

_READ_WRITE = 0o666


def check_free(folder: Path) -> None:
    """Raises InvalidInput where a base cannot be written to `folder` because something is there."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(
            f"output-base {folder} is there already and not empty: name a new folder", field="output-base"
        )


def check_can_be_made(folder: Path, field: str) -> None:
    """Raises InvalidInput where there can be no such folder."""
    there = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise InvalidInput(f"{field} {folder} cannot be made: {there} is no folder that may be written", field=field)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Gives a folder to write files into, which becomes `folder` at the end, or goes where that is not reached.

    Raises InvalidInput as `check_free`, and where the system does not let a file be written.
    """
    from safetensors import SafetensorError  # which its writer raises for a full disk

    check_free(folder)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        mode = partial.stat().st_mode & _READ_WRITE  # as the umask has it
        for file in partial.iterdir():
            file.chmod(mode)  # safetensors' own are for their owner alone, and a server may run as someone else
        os.replace(partial, folder)
    except (OSError, SafetensorError) as error:
        raise InvalidInput(f"output-base {folder} cannot be written: {error}", field="output-base") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
