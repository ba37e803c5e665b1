"""Reads tables of "key value" lines, as Kaldi and ESPnet write them. Several files can be read in parallel."""

import re
from pathlib import Path

from lorb.errors import MalformedFile
from lorb.formats.parsing.lines import terminated_lines

_KEY_AND_VALUE = re.compile(r"([^ \t]+)(.*)", re.DOTALL)


class KeyedLines:
    """The lines of one file, read in order.

    Attributes:
        path: the file.
        key: key of the next line; None at the end.
        line: number of the next line, from 1. At the end of the file: number of its last line.
    """

    def __init__(self, path: Path) -> None:
        """Reads the first line. Raises MalformedFile."""
        self.path = path
        self.key: str | None = None
        self.line = 0
        self._value = ""
        self._lines = terminated_lines(path)
        self._advance()

    def next_value(self) -> str:
        """Returns the next value, without outer white space, and reads one line ahead. Raises MalformedFile."""
        value = self._value
        self._advance()
        return value

    def expect(self, key: str, leader: "KeyedLines", leader_line: int) -> str:
        """Returns the next value. Raises MalformedFile unless its key is `key`, from line `leader_line` of `leader`."""
        if self.key != key:
            raise MalformedFile(
                self.path,
                self.line,
                f"id {key!r} of {leader.path}:{leader_line} is missing here, or the order differs",
            )
        return self.next_value()

    def expect_end(self, leader: "KeyedLines") -> None:
        """Raises MalformedFile if a line is left. The error names its id, which `leader` lacks."""
        if self.key is not None:
            raise MalformedFile(self.path, self.line, f"id {self.key!r} is not in {leader.path}, or the order differs")

    def _advance(self) -> None:
        number, text = next(self._lines, (self.line, None))
        self.line = number
        if text is None:
            self.key, self._value = None, ""
            return
        parts = _KEY_AND_VALUE.fullmatch(text)
        if parts is None:
            raise MalformedFile(self.path, number, "the line begins with white space: it should begin with an id")
        self.key, self._value = parts[1], parts[2].strip()
