"""The files of a run: text, and lists of the recogniser."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lorb.formats import FormatOptions, Notices
from lorb.nbest import NBest
from lorb_adapters.pretraining.corpus.sentences import sha256
from lorb_adapters.training.data.reading import DataFiles, names_apart


@dataclass(frozen=True, slots=True)
class BuildFiles:
    """Which files play which part.

    Attributes:
        text: one sentence a line, plain or gzip.
        confusions: lists with references of the recogniser; their references join the text.
        dev: lists with references, for the figures at the end alone.
        format, format_options: of the lists.
    """

    text: tuple[Path, ...]
    confusions: tuple[Path, ...] = ()
    dev: tuple[Path, ...] = ()
    format: str = "auto"
    format_options: FormatOptions = field(default_factory=FormatOptions)

    def read(self, paths: Sequence[Path], notices: Notices) -> list[NBest]:
        """The lists of some of the files, which must have references. Raises MalformedFile."""
        return self._lists.read(paths, notices) if paths else []

    def sha256(self) -> dict[str, str]:
        """Of every file but those of references, by name as `names_apart` has it, in hex."""
        paths = (*self.text, *self.confusions, *self.dev)
        digests = (*map(sha256, self.text), *map(self._lists.digest, (*self.confusions, *self.dev)))
        return dict(zip(names_apart(paths), digests, strict=True))

    def identity(self) -> dict[str, object]:
        """What decides what is read: the format, its options, and the digests of all files by role."""
        return {"text": [sha256(path) for path in self.text]} | dict(self._lists.identity())

    @property
    def _lists(self) -> DataFiles:
        return DataFiles(self.confusions, self.dev, format=self.format, format_options=self.format_options)
