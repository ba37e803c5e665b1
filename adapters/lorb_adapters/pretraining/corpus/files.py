"""The input files of a run of lorb-build-base: text, and lists with references."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lorb.formats import FormatOptions, Notices
from lorb.nbest import NBest
from lorb_adapters.pretraining.corpus.sentences import sha256
from lorb_adapters.training.data.files import DataFiles, unambiguous_names


@dataclass(frozen=True, slots=True)
class BuildFiles:
    """The files by role.

    Attributes:
        text: one sentence per line, plain or gzip.
        confusions: the recogniser's lists with references, which are added to the text.
        dev: lists with references, used only to measure the result.
        format: format of the lists; "auto" detects it.
        format_options: options for the format's reader.
    """

    text: tuple[Path, ...]
    confusions: tuple[Path, ...] = ()
    dev: tuple[Path, ...] = ()
    format: str = "auto"
    format_options: FormatOptions = field(default_factory=FormatOptions)

    def read(self, paths: Sequence[Path], notices: Notices) -> list[NBest]:
        """Reads the lists in `paths`. Raises MalformedFile if a file is malformed or a list has no reference."""
        return self._lists.read(paths, notices) if paths else []

    def sha256(self) -> dict[str, str]:
        """Digests of all files, in hex, by file name. Parent folders are added to names that repeat."""
        paths = (*self.text, *self.confusions, *self.dev)
        digests = (*map(sha256, self.text), *map(self._lists.digest, (*self.confusions, *self.dev)))
        return dict(zip(unambiguous_names(paths), digests, strict=True))

    def identity(self) -> dict[str, object]:
        """The values that decide the data: digests of all files by role, the lists' format, and its options."""
        return {"text": [sha256(path) for path in self.text]} | dict(self._lists.identity())

    @property
    def _lists(self) -> DataFiles:
        return DataFiles(self.confusions, self.dev, format=self.format, format_options=self.format_options)
