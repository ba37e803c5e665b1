"""Reads plain or gzip text line by line. Errors name the line."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from lorb.errors import MalformedFile

_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yields (line number from 1, text with its line end) for each line that is not blank.

    Raises MalformedFile if the file cannot be read, is truncated, is not UTF-8 or has no text.
    """
    number = 0
    has_text = False
    with _opened(path) as binary:
        while line := _next_line(path, binary, number + 1):
            number += 1
            text = _decoded(path, line, number)
            if text.strip():
                has_text = True
                yield number, text
    if not has_text:
        raise MalformedFile(path, 1, "the file is empty")


def terminated_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yields (line number from 1, text without its line end) for each line that is not blank.

    Raises MalformedFile if the file cannot be read, is truncated, is not UTF-8 or has no text. A last line without a
    newline counts as truncated.
    """
    for number, text in numbered_lines(path):
        if not text.endswith("\n"):
            raise MalformedFile(path, number, "the last line has no newline: the file is truncated")
        yield number, text.removesuffix("\n").removesuffix("\r")


def read_text(path: Path) -> str:
    """Returns the text of a file with its line breaks; blank lines become empty lines.

    Raises MalformedFile if the file cannot be read, is truncated, is not UTF-8 or has no text.
    """
    parts = []
    previous = 0
    for number, text in numbered_lines(path):
        parts.append("\n" * (number - previous - 1) + text)
        previous = number
    return "".join(parts)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as raw:
            if raw.peek(2)[:2] == _GZIP_MAGIC:
                with gzip.GzipFile(fileobj=raw, mode="rb") as unpacked:
                    yield cast(BinaryIO, unpacked)
            else:
                yield raw
    except OSError as error:
        raise MalformedFile(path, 0, f"cannot be read: {error.strerror or error}") from error


def _next_line(path: Path, binary: BinaryIO, number: int) -> bytes:
    try:
        return binary.readline()
    except EOFError as error:
        raise MalformedFile(path, number, "the gzip data ends early: the file is truncated") from error
    except (zlib.error, gzip.BadGzipFile) as error:
        raise MalformedFile(path, number, f"the gzip data is damaged: {error}") from error


def _decoded(path: Path, line: bytes, number: int) -> str:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedFile(path, number, f"not UTF-8 at byte {error.start + 1} of the line") from error
    return text.removeprefix(_BYTE_ORDER_MARK) if number == 1 else text
