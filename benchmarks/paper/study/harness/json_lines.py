"""JSON-lines files that several processes append to, readable even after a writer was killed within a line."""

import fcntl
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Line = Mapping[str, Any]


def read_lines(path: Path) -> list[Line]:
    """The lines of a file; empty if the file does not exist.

    An incomplete last line, left by an interrupted writer, is ignored with a warning.

    Raises:
        ValueError: a line is not a JSON object; the message names file and line.
    """
    if not path.exists():
        return []
    content, found = path.read_bytes(), []
    whole = content[: _whole_bytes(content)]
    if len(whole) < len(content):
        warnings.warn(f"{path} ends in an incomplete line, which is ignored: its writer was interrupted", stacklevel=2)
    for number, text in enumerate(whole.splitlines(), start=1):
        try:
            line = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{path}:{number} is not JSON: {error}") from error
        if not isinstance(line, dict):
            raise ValueError(f"{path}:{number} is not a JSON object")
        found.append(line)
    return found


def append_line(path: Path, line: Line, *, once: bool = False) -> None:
    """Adds a line durably, after removing an incomplete last line. once: do nothing if the line exists."""
    with _locked(path), path.open("a+b") as file:
        file.seek(0)
        content = file.read()
        file.truncate(_whole_bytes(content))
        if once and _to_bytes(line) in content.splitlines(keepends=True):
            return
        file.write(_to_bytes(line))
        file.flush()
        os.fsync(file.fileno())


def remove_lines(path: Path, is_removed: Callable[[Line], bool]) -> None:
    """Rewrites a file without the lines for which `is_removed` is true."""
    with _locked(path):
        kept = [line for line in read_lines(path) if not is_removed(line)]
        if path.exists():
            write_whole(path, b"".join(map(_to_bytes, kept)).decode())


def write_whole(path: Path, text: str) -> None:
    """Replaces a file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _to_bytes(line: Line) -> bytes:
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _whole_bytes(content: bytes) -> int:
    return content.rfind(b"\n") + 1


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Excludes other writers of the folder's files. It locks the folder, because files are replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
