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


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Gives a folder to write files into, which becomes `folder` at the end. Raises InvalidInput as `check_free`."""
    check_free(folder)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    mode = partial.stat().st_mode & _READ_WRITE  # as the umask has it
    for file in partial.iterdir():
        file.chmod(mode)  # safetensors' own are for their owner alone, and a server may run as someone else
    os.replace(partial, folder)
