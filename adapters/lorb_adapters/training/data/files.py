"""The list files of a run: their roles, format, digests and contents."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path

from lorb.formats import FormatOptions, ListRecord, Notices, iterate_list_records, native_line
from lorb.nbest import NBest

TRAIN, DEV, TEST, OTHER_DOMAIN = "train", "dev", "test", "other domain"


def unambiguous_names(paths: Sequence[Path]) -> list[str]:
    """Returns the name of each file, with as few parent folders as distinguish it from the others."""
    parts_of_paths = [path.absolute().parts for path in paths]

    def depth(parts: tuple[str, ...]) -> int:
        others = [other for other in parts_of_paths if other != parts]
        return next(depth for depth in count(1) if all(other[-depth:] != parts[-depth:] for other in others))

    return [str(Path(*parts[-depth(parts) :])) for parts in parts_of_paths]


@dataclass(frozen=True, slots=True)
class DataFiles:
    """The list files of a run by role.

    Attributes:
        train, dev, test, ood: files or folders; `ood` has lists of another domain.
        format: format of all files; "auto" detects it.
        format_options: options for the format's reader.
    """

    train: tuple[Path, ...]
    dev: tuple[Path, ...]
    test: tuple[Path, ...] = ()
    ood: tuple[Path, ...] = ()
    format: str = "auto"
    format_options: FormatOptions = field(default_factory=FormatOptions)

    def sha256(self) -> Mapping[str, str]:
        """Returns the digest of every train and dev file, in hex, by unambiguous file name."""
        paths = (*self.train, *self.dev)
        return {name: self.digest(path) for name, path in zip(unambiguous_names(paths), paths, strict=True)}

    def read(self, paths: Sequence[Path], notices: Notices, *, unique_ids: bool = True) -> list[NBest]:
        """Reads the lists of some of the files. Raises MalformedFile if a file is wrong or a list has no reference."""
        return [record.nbest for record in self._records(paths, notices, unique_ids=unique_ids)]

    def read_sets(
        self, notices: Notices, *, unique_ids: bool = True
    ) -> tuple[dict[str, list[NBest]], dict[str, dict[str, list[NBest]]]]:
        """Reads all files of each role that has files: TRAIN, DEV, TEST, OTHER_DOMAIN.

        Returns the lists by role, and the same lists by role and file.
        """
        roles = {TRAIN: self.train, DEV: self.dev, TEST: self.test, OTHER_DOMAIN: self.ood}
        sets: dict[str, list[NBest]] = {name: [] for name, paths in roles.items() if paths}
        files: dict[str, dict[str, list[NBest]]] = {name: {} for name in sets}
        for name, lists in sets.items():
            for record in self._records(roles[name], notices, unique_ids=unique_ids):
                lists.append(record.nbest)
                files[name].setdefault(str(record.path), []).append(record.nbest)
        return sets, files

    def digest(self, path: Path) -> str:
        """Returns the SHA-256 of a file, in hex; for a folder, the SHA-256 of its lists in the native format."""
        if path.is_file():
            return hashlib.sha256(path.read_bytes()).hexdigest()
        return hashlib.sha256(b"".join(map(native_line, self.read([path], Notices())))).hexdigest()

    def identity(self) -> Mapping[str, object]:
        """Returns the values that decide the lists: format, options of the format, and digests of the files by role."""
        options = {name: str(value) for name, value in asdict(self.format_options).items() if name != "reference_texts"}
        return {"format": self.format} | options | self._digests()

    def _records(self, paths: Sequence[Path], notices: Notices, *, unique_ids: bool) -> Iterator[ListRecord]:
        return iterate_list_records(
            paths,
            format=self.format,
            options=self.format_options,
            notices=notices,
            require_references=True,
            unique_ids=unique_ids,
        )

    def _digests(self) -> dict[str, object]:
        roles = (("train", self.train), ("dev", self.dev), ("references", self.format_options.reference_texts))
        return {role: [self.digest(path) for path in paths] for role, paths in roles}
