"""The project's documents, and what stands in them as code."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGES = tuple(sorted(ROOT.glob("docs/**/*.md")))
OUTSIDE = (*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("examples/*.md")))  # of the site
DOCUMENTS = (*OUTSIDE, *PAGES)
_FENCED = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_SHELL = ("", "sh", "bash", "console")


@dataclass(frozen=True)
class Code:
    """A command line, or a piece of code within a sentence."""

    document: str
    text: str

    def __str__(self):
        """Names the test."""
        return f"{self.document}: {self.text[:60]}"


def name_of(document):
    """A document's path from the root."""
    return document.relative_to(ROOT).as_posix()


def command_lines(document):
    """The lines to type: of a session those behind "$ ", of other shell blocks all, joined at a backslash."""
    for _, language, block in _FENCED.findall(document.read_text("utf-8")):
        if language in _SHELL:
            lines = block.replace("\\\n", " ").splitlines()
            typed = [line.strip().removeprefix("$ ") for line in lines if line.strip().startswith("$ ")]
            yield from (Code(name_of(document), line.strip()) for line in typed or lines)


def inline_code(document):
    """What stands between backquotes, outside blocks."""
    prose = _FENCED.sub("", document.read_text("utf-8"))
    return [Code(name_of(document), text) for text in _INLINE.findall(prose)]


def simple_commands(line):
    """The words of each command of a line, as a shell would split it; redirections end one."""
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
