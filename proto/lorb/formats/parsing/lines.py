"""Text from a file, plain or gzip, line by line; what is wrong with the bytes is said with its line."""

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
    """Yields (line number from 1, text) of the lines that are not blank.

    Raises MalformedFile where the file cannot be read, ends early, is not UTF-8 or holds nothing.
    """
    number = 0
    found = False
    with _opened(path) as binary:
        while line := _next_line(path, binary, number + 1):
            number += 1
            text = _decoded(path, line, number)
            if text.strip():
                found = True
                yield number, text
    if not found:
        raise MalformedFile(path, 1, "the file is empty")


def whole_lines(path: Path) -> Iterator[tuple[int, str]]:
    """As numbered_lines, without line ends, of files whose every line has one: a line without is torn.

    Raises MalformedFile as numbered_lines does, and for a last line that does not end.
    """
    for number, text in numbered_lines(path):
        if not text.endswith("\n"):
            raise MalformedFile(path, number, "the line has no end: the file is truncated")
        yield number, text.removesuffix("\n").removesuffix("\r")


def whole_text(path: Path) -> str:
    """The file's text with its lines as they stand. Raises MalformedFile as numbered_lines does."""
    lines = dict(numbered_lines(path))
    return "".join(lines.get(number, "\n") for number in range(1, max(lines) + 1))


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
