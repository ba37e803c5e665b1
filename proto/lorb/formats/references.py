"""Reads reference transcripts by utterance: Kaldi and ESPnet `text` ("utterance words") or trn ("words (utterance)").

A file is trn, the format of SCTK's sclite, if every line ends in "(utterance)".
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lorb.errors import MalformedFile
from lorb.formats.parsing.lines import terminated_lines
from lorb.formats.record import ListRecord

_TRN = re.compile(r"(.*?)[ \t]*\(([^()\s]+)\)[ \t]*")
_TABLE = re.compile(r"([^ \t]+)[ \t]*(.*)")


@dataclass(frozen=True, slots=True)
class References:
    """Reference transcripts of one or more files.

    Attributes:
        texts: the transcript of each utterance, by utterance id.
        paths: the files.
    """

    texts: Mapping[str, str]
    paths: tuple[Path, ...]

    @classmethod
    def read(cls, paths: Sequence[Path]) -> "References":
        """Reads all files. Raises MalformedFile if a file violates its format, or an utterance is repeated."""
        texts: dict[str, str] = {}
        for path in paths:
            lines = list(terminated_lines(path))
            is_trn = all(_TRN.fullmatch(text) for _, text in lines)
            for line, text in lines:
                utterance, words = _trn_entry(text) if is_trn else _table_entry(text, path, line)
                if utterance in texts:
                    raise MalformedFile(path, line, f"the reference of {utterance!r} is repeated")
                texts[utterance] = words
        return cls(texts, tuple(paths))

    def apply_to(self, record: ListRecord) -> ListRecord:
        """Returns the record with its reference replaced. Raises MalformedFile if its id has no reference."""
        utterance = record.nbest.id
        if utterance not in self.texts:
            places = ", ".join(map(str, self.paths))
            raise MalformedFile(record.path, record.line, f"list {utterance!r} has no reference in {places}")
        return ListRecord.of({**record.fields, "ref": self.texts[utterance]}, record.path, record.line)


def _trn_entry(text: str) -> tuple[str, str]:
    match = _TRN.fullmatch(text)
    return (match[2], match[1].strip()) if match else ("", text)


def _table_entry(text: str, path: Path, line: int) -> tuple[str, str]:
    match = _TABLE.fullmatch(text)
    if match is None:
        raise MalformedFile(path, line, "the line begins with white space: it should begin with an utterance id")
    return match[1], match[2].strip()
