"""Reads JSON documents member by member, with the line on which each member begins.

ijson (3.6, yajl2_c) is not suitable: it reports no positions, replaces lone surrogates with "?" and, with use_float,
refuses integers over 64 bits.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

from lorb.errors import MalformedFile

_BLANK = re.compile(r"[ \t\r\n]*")

Member = TypeVar("Member")
KeyPath = tuple[str, ...]  # keys of nested objects, the outermost first


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def parse_json(path: Path, line: int, text: str) -> object:
    """Parses one JSON value. `line` is the line of the file on which `text` begins. Raises MalformedFile."""
    cursor = _Cursor(path, text, line)
    value = cursor.value()
    cursor.expect_end()
    return value


def array_members(path: Path, text: str) -> Iterator[tuple[int, object]]:
    """Yields (line, value) for each member of the outermost array. Raises MalformedFile."""
    cursor = _Cursor(path, text)
    return cursor.members_until_end("[", "]", cursor.value)


def object_members(path: Path, text: str) -> Iterator[tuple[int, tuple[str, object]]]:
    """Yields (line, (key, value)) for each member of the outermost object; repeated keys are kept.

    Raises MalformedFile.
    """
    cursor = _Cursor(path, text)
    return cursor.members_until_end("{", "}", cursor.pair)


def documents(path: Path, text: str) -> Iterator[tuple[int, object]]:
    """Yields (line, value) for each of several consecutive documents, or for each member of a single array.

    Raises MalformedFile.
    """
    cursor = _Cursor(path, text)
    if cursor.at("["):
        yield from cursor.members_until_end("[", "]", cursor.value)
        return
    while not cursor.at_end():
        yield cursor.line, cursor.value()


def members_at(path: Path, text: str, key_paths: Sequence[KeyPath]) -> Iterator[tuple[int, object]]:
    """Yields (line, member) for each member of each array or object that a key path leads to.

    `text` holds consecutive documents, or one array of documents. A member of an object is yielded as (key, value).

    Raises MalformedFile if the text is not JSON, or a value on a key path has the wrong type.
    """
    cursor = _Cursor(path, text)
    if cursor.at("["):
        for _ in cursor.members_until_end("[", "]", lambda: None):
            yield from cursor.nested_members(key_paths)
        return
    while not cursor.at_end():
        yield from cursor.nested_members(key_paths)


class _Cursor:
    """A position in JSON text that only moves forward."""

    def __init__(self, path: Path, text: str, line: int = 1) -> None:
        self._path = path
        self._text = text.rstrip()  # so that an error at the end names the last line with text
        self._position = 0
        self._line = line
        self._line_counted_to = 0

    def members_until_end(self, opening: str, closing: str, read: Callable[[], Member]) -> Iterator[tuple[int, Member]]:
        """Yields (line, what `read` returns) for each member between the brackets. Then expects the end."""
        yield from self._bracketed_members(opening, closing, read)
        self.expect_end()

    def _bracketed_members(
        self, opening: str, closing: str, read: Callable[[], Member]
    ) -> Iterator[tuple[int, Member]]:
        self._expect(opening)
        if not self._skip(closing):
            while True:
                self._skip_blank()
                yield self.line, read()
                if self._skip(closing):
                    break
                self._expect(",")

    def pair(self) -> tuple[str, object]:
        """Reads `"key": value`. Returns (key, value)."""
        return self._key(), self.value()

    def nested_members(self, key_paths: Sequence[KeyPath]) -> Iterator[tuple[int, object]]:
        """Reads a value. Yields (line, member) for each member of each array or object that a key path leads to."""
        if () in key_paths:
            yield from (
                self._bracketed_members("{", "}", self.pair)
                if self.at("{")
                else self._bracketed_members("[", "]", self.value)
            )
        elif not self.at("{"):
            raise self._error("expected an object", self._position)
        else:
            for _ in self._bracketed_members("{", "}", lambda: None):
                key = self._key()
                inner = [key_path[1:] for key_path in key_paths if key_path[0] == key]
                if inner:
                    yield from self.nested_members(inner)
                else:
                    self.value()

    def at(self, character: str) -> bool:
        """Returns whether `character` is next."""
        self._skip_blank()
        return self._text.startswith(character, self._position)

    def at_end(self) -> bool:
        """Returns whether only blanks are left."""
        self._skip_blank()
        return self._position == len(self._text)

    def _key(self) -> str:
        if not self.at('"'):
            raise self._error("expected a key in double quotes", self._position)
        key = self.value()
        self._expect(":")
        return str(key)

    def value(self) -> object:
        """Reads a value of any type."""
        self._skip_blank()
        try:
            value, self._position = _DECODER.raw_decode(self._text, self._position)
        except json.JSONDecodeError as error:
            raise self._error(error.msg[:1].lower() + error.msg[1:], error.pos) from error
        except (ValueError, RecursionError) as error:
            raise self._error(f"{error}", self._position) from error
        return value

    def expect_end(self) -> None:
        """Raises MalformedFile unless only blanks are left."""
        if not self.at_end():
            raise self._error("more text after the end", self._position)

    @property
    def line(self) -> int:
        """The current line, from 1."""
        self._line += self._text.count("\n", self._line_counted_to, self._position)
        self._line_counted_to = self._position
        return self._line

    def _skip(self, character: str) -> bool:
        if not self.at(character):
            return False
        self._position += 1
        return True

    def _expect(self, character: str) -> None:
        if not self._skip(character):
            raise self._error(f"expected {character!r}", self._position)

    def _skip_blank(self) -> None:
        blank = _BLANK.match(self._text, self._position)
        self._position = blank.end() if blank else self._position

    def _error(self, message: str, position: int) -> MalformedFile:
        line = self.line + self._text.count("\n", self._position, position)
        column = position - self._text.rfind("\n", 0, position)
        return MalformedFile(self._path, line, f"not JSON: {message} (column {column})")
