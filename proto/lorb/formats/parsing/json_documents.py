"""The members of a JSON document's array or object, or the documents of a file, each with the line it begins on."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

from lorb.errors import MalformedFile

_BLANK = re.compile(r"[ \t\r\n]*")

Member = TypeVar("Member")
Route = tuple[str, ...]  # keys, the outermost first


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def parsed_json(path: Path, line: int, text: str) -> object:
    """The value that `text`, which begins on `line`, holds. Raises MalformedFile where it is not JSON."""
    cursor = _Cursor(path, text, line)
    value = cursor.value()
    cursor.end()
    return value


def array_members(path: Path, text: str) -> Iterator[tuple[int, object]]:
    """Yields (line, value) for each member of the outermost array. Raises MalformedFile."""
    cursor = _Cursor(path, text)
    return cursor.members("[", "]", cursor.value)


def object_members(path: Path, text: str) -> Iterator[tuple[int, tuple[str, object]]]:
    """Yields (line, (key, value)) for each member of the outermost object; a key may come twice.

    Raises MalformedFile.
    """
    cursor = _Cursor(path, text)
    return cursor.members("{", "}", cursor.pair)


def documents(path: Path, text: str) -> Iterator[tuple[int, object]]:
    """Yields (line, value) of documents that follow each other, or of the members of one array.

    Raises MalformedFile.
    """
    cursor = _Cursor(path, text)
    if cursor.at("["):
        yield from cursor.members("[", "]", cursor.value)
        return
    while not cursor.at_end():
        yield cursor.line, cursor.value()


def members_within(path: Path, text: str, routes: Sequence[Route]) -> Iterator[tuple[int, object]]:
    """Yields (line, member) of the arrays or objects that the keys of a route lead to, in documents as above.

    A member of an object is (key, value). Raises MalformedFile, also where a route leads to something else.
    """
    cursor = _Cursor(path, text)
    if cursor.at("["):
        for _ in cursor.members("[", "]", lambda: None):
            yield from cursor.within(routes)
        return
    while not cursor.at_end():
        yield from cursor.within(routes)


class _Cursor:
    """A place in JSON text that moves forward only."""

    def __init__(self, path: Path, text: str, line: int = 1) -> None:
        self._path = path
        self._text = text.rstrip()  # so that an error at the end names the last line
        self._at = 0
        self._line = line
        self._line_counted_to = 0

    def members(self, opening: str, closing: str, read: Callable[[], Member]) -> Iterator[tuple[int, Member]]:
        """Yields what `read` reads between the brackets, and sees that nothing follows them."""
        yield from self._members(opening, closing, read)
        self.end()

    def _members(self, opening: str, closing: str, read: Callable[[], Member]) -> Iterator[tuple[int, Member]]:
        self._expect(opening)
        if not self._take(closing):
            while True:
                self._skip_blank()
                yield self.line, read()
                if self._take(closing):
                    break
                self._expect(",")

    def pair(self) -> tuple[str, object]:
        """Reads `"key": value`."""
        return self._key(), self.value()

    def within(self, routes: Sequence[Route]) -> Iterator[tuple[int, object]]:
        """Reads a value; yields the members of what the routes lead to inside it."""
        if () in routes:
            yield from self._members("{", "}", self.pair) if self.at("{") else self._members("[", "]", self.value)
        elif not self.at("{"):
            raise self._error("expected an object", self._at)
        else:
            for _ in self._members("{", "}", lambda: None):
                key = self._key()
                inner = [route[1:] for route in routes if route[0] == key]
                if inner:
                    yield from self.within(inner)
                else:
                    self.value()

    def at(self, character: str) -> bool:
        """Whether `character` is next."""
        self._skip_blank()
        return self._text.startswith(character, self._at)

    def at_end(self) -> bool:
        """Whether nothing is left."""
        self._skip_blank()
        return self._at == len(self._text)

    def _key(self) -> str:
        if not self.at('"'):
            raise self._error("expected a key in double quotes", self._at)
        key = self.value()
        self._expect(":")
        return str(key)

    def value(self) -> object:
        """Reads any value."""
        self._skip_blank()
        try:
            value, self._at = _DECODER.raw_decode(self._text, self._at)
        except json.JSONDecodeError as error:
            raise self._error(error.msg[:1].lower() + error.msg[1:], error.pos) from error
        except (ValueError, RecursionError) as error:
            raise self._error(f"{error}", self._at) from error
        return value

    def end(self) -> None:
        """Sees that nothing but blanks is left."""
        if not self.at_end():
            raise self._error("more text after the end", self._at)

    @property
    def line(self) -> int:
        """The line of the present place."""
        self._line += self._text.count("\n", self._line_counted_to, self._at)
        self._line_counted_to = self._at
        return self._line

    def _take(self, character: str) -> bool:
        if not self.at(character):
            return False
        self._at += 1
        return True

    def _expect(self, character: str) -> None:
        if not self._take(character):
            raise self._error(f"expected {character!r}", self._at)

    def _skip_blank(self) -> None:
        blank = _BLANK.match(self._text, self._at)
        self._at = blank.end() if blank else self._at

    def _error(self, message: str, position: int) -> MalformedFile:
        line = self.line + self._text.count("\n", self._at, position)
        column = position - self._text.rfind("\n", 0, position)
        return MalformedFile(self._path, line, f"not JSON: {message} (column {column})")
