"""The project's documents, and the code in them."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGES = tuple(sorted(ROOT.glob("docs/**/*.md")))
OUTSIDE = (*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("examples/*.md")))  # documents outside the site
DOCUMENTS = (*OUTSIDE, *PAGES)
_FENCED = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_SHELL = ("", "sh", "bash", "console")


@dataclass(frozen=True)
class Code:
    """A command line or inline code of a document."""

    document: str
    text: str

    def __str__(self):
        """The document and the beginning of the code, as the name of a test."""
        return f"{self.document}: {self.text[:60]}"


def name_of(document):
    """Returns the path of a document relative to the root."""
    return document.relative_to(ROOT).as_posix()


def command_lines(document):
    """Yields the command lines of shell blocks, joined at backslashes; in a session only those after "$ "."""
    for _, language, block in _FENCED.findall(document.read_text("utf-8")):
        if language in _SHELL:
            lines = block.replace("\\\n", " ").splitlines()
            typed = [line.strip().removeprefix("$ ") for line in lines if line.strip().startswith("$ ")]
            yield from (Code(name_of(document), line.strip()) for line in typed or lines)


def inline_code(document):
    """Returns the code in backquotes outside code blocks."""
    prose = _FENCED.sub("", document.read_text("utf-8"))
    return [Code(name_of(document), text) for text in _INLINE.findall(prose)]


def simple_commands(line):
    """Yields the words of each command of a line, split as a shell does; a redirection ends a command."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = []
    for word in lexer:
        if set(word) <= set("();<>|&"):
            yield words
            words = []
        else:
            words.append(word)
    yield words
