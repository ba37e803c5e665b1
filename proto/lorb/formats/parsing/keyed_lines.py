"""Lines "key value", as Kaldi and ESPnet write tables, taken in order so that several files can be read in step."""

import re
from pathlib import Path

from lorb.errors import MalformedFile
from lorb.formats.parsing.lines import whole_lines

_KEY_AND_VALUE = re.compile(r"([^ \t]+)(.*)", re.DOTALL)


class KeyedLines:
    """The lines of one file.

    Attributes:
        path: the file.
        key: of the next line; None at the end.
        line: number of the next line, or of the last one at the end.
    """

    def __init__(self, path: Path) -> None:
        """Reads the first line. Raises MalformedFile."""
        self.path = path
        self.key: str | None = None
        self.line = 0
        self._value = ""
        self._lines = whole_lines(path)
        self._advance()

    def take(self) -> str:
        """The value of the next line, without outer blanks. Raises MalformedFile where the line after it is broken."""
        value = self._value
        self._advance()
        return value

    def expect(self, key: str, leader: "KeyedLines", leader_line: int) -> str:
        """The next value, which must be that of `key`, as `leader` has it. Raises MalformedFile otherwise."""
        if self.key != key:
            raise MalformedFile(
                self.path,
                self.line,
                f"id {key!r}, which stands at {leader.path}:{leader_line}, is missing here, or the order differs",
            )
        return self.take()

    def expect_end(self, leader: "KeyedLines") -> None:
        """Sees that nothing is left. Raises MalformedFile that names the id which `leader` lacks."""
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
            raise MalformedFile(self.path, number, "the line begins with a blank: it should begin with an id")
        self.key, self._value = parts[1], parts[2].strip()
