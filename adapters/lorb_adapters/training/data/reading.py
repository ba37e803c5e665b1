"""The lists of a run: read, checked against each other, encoded."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from statistics import fmean, pstdev

from lorb.errors import InvalidInput
from lorb.formats import FormatOptions, Notices, native_line, read_nbest_lists
from lorb.nbest import NBest
from lorb_adapters.text import TextEncoder
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.data.audit import Audit
from lorb_adapters.training.data.audit.scores import IMPOSSIBLE_GAP
from lorb_adapters.training.data.encoded_lists import ReferencedList, prepare

TRAIN, DEV, TEST, OTHER_DOMAIN = "train", "dev", "test", "other domain"


def names_apart(paths: Sequence[Path]) -> list[str]:
    """The name of each file, with as many folders in front as tell it from the others."""
    whole = [path.absolute().parts for path in paths]

    def depth(parts: tuple[str, ...]) -> int:
        others = [other for other in whole if other != parts]
        return next(depth for depth in count(1) if all(other[-depth:] != parts[-depth:] for other in others))

    return [str(Path(*parts[-depth(parts) :])) for parts in whole]


@dataclass(frozen=True, slots=True)
class DataFiles:
    """Which files play which part, and in which format they are ("auto" finds out)."""

    train: tuple[Path, ...]
    dev: tuple[Path, ...]
    test: tuple[Path, ...] = ()
    ood: tuple[Path, ...] = ()
    format: str = "auto"
    format_options: FormatOptions = field(default_factory=FormatOptions)

    def sha256(self) -> Mapping[str, str]:
        """sha256 of every training and dev file, in hex; of a folder, of its lists in the native format.

        By name, as `names_apart` has it.
        """
        paths = (*self.train, *self.dev)
        return {name: self.digest(path) for name, path in zip(names_apart(paths), paths, strict=True)}

    def read(self, paths: Sequence[Path], notices: Notices, *, unique_ids: bool = True) -> list[NBest]:
        """The lists of some of the files, which must have references. Raises MalformedFile."""
        return read_nbest_lists(
            paths,
            format=self.format,
            options=self.format_options,
            notices=notices,
            require_references=True,
            unique_ids=unique_ids,
        )

    def read_sets(self, notices: Notices, *, unique_ids: bool = True) -> dict[str, list[NBest]]:
        """The lists of all files by the part they play: train, dev, and of test and other domain what is given."""
        roles = {TRAIN: self.train, DEV: self.dev, TEST: self.test, OTHER_DOMAIN: self.ood}
        return {name: self.read(paths, notices, unique_ids=unique_ids) for name, paths in roles.items() if paths}

    def digest(self, path: Path) -> str:
        """sha256 of one of the files, as in `sha256`."""
        if path.is_file():
            return hashlib.sha256(path.read_bytes()).hexdigest()
        return hashlib.sha256(b"".join(map(native_line, self.read([path], Notices())))).hexdigest()

    def identity(self) -> Mapping[str, object]:
        """What decides which lists are read: the format, its options, and the digests of all files by role."""
        options = {name: str(value) for name, value in asdict(self.format_options).items() if name != "reference_texts"}
        return {"format": self.format} | options | self._digests()

    def _digests(self) -> dict[str, object]:
        roles = (("train", self.train), ("dev", self.dev), ("references", self.format_options.reference_texts))
        return {role: [self.digest(path) for path in paths] for role, paths in roles}


@dataclass(frozen=True, slots=True)
class Data:
    """The lists of a run, encoded.

    Attributes:
        train: all of them, with contrast or not.
        dev, test, ood: `test` and `ood` may be empty.
        num_overlapping: lists dropped from train because dev or test has their id.
        audit: of the lists as read.
        notices: what the readers normalised, a line each.
    """

    train: list[ReferencedList]
    dev: list[ReferencedList]
    test: list[ReferencedList]
    ood: list[ReferencedList]
    num_overlapping: int
    audit: Audit
    notices: tuple[str, ...] = ()

    def identity(self) -> Mapping[str, object]:
        """Which lists are trained on: another test set may hold out others, without another training file."""
        ids = "\n".join(each.nbest.id for each in self.train)
        return {
            "train less dev and test": f"{len(self.train)} lists, ids {hashlib.sha256(ids.encode()).hexdigest()[:12]}"
        }


def read_data(
    files: DataFiles, encoder: TextEncoder, config: TrainConfig, say: Callable[[str], None] = lambda line: None
) -> Data:
    """Reads and audits all files of a run. Raises MalformedFile, or InvalidInput for what the audit calls an error.

    say: takes what the readers normalised and the audit's tables, before anything is raised for them.
    """
    notices = Notices()
    sets = files.read_sets(notices)
    audit = Audit.of(sets)
    for text in (*notices.lines(), audit.to_markdown()):
        say(text)
    audit.check()
    train, dev, test, ood = (sets.get(name, []) for name in (TRAIN, DEV, TEST, OTHER_DOMAIN))
    held_out = {nbest.id for nbest in (*dev, *test)}
    kept = [nbest for nbest in train if nbest.id not in held_out]
    if not kept:
        raise InvalidInput("every train list stands in dev or test too: none is left to train on", field="train")

    def encoded(lists: Sequence[NBest], *, uses_references: bool = False, teacher: str = "") -> list[ReferencedList]:
        return prepare(
            lists,
            encoder,
            config.normalization,
            uses_context=config.uses_context,
            uses_references=uses_references,
            teacher=teacher,
        )

    return Data(
        encoded(kept, uses_references=config.uses_references, teacher=config.teacher),
        encoded(dev),
        encoded(test),
        encoded(ood),
        len(train) - len(kept),
        audit,
        tuple(notices.lines()),
    )


def first_pass_statistics(lists: Sequence[ReferencedList]) -> dict[str, float]:
    """What the recogniser's scores look like: a decoder with another scale is noticed by comparing with these.

    A decoder's mark among the scores, thousands behind the best, is none of them.
    """
    scored = [_plausible_scores(each) for each in lists if each.nbest.has_scores]
    statistics = {
        "scored_fraction": len(scored) / len(lists),
        "mean_hypotheses": fmean(len(each.distinct) for each in lists),
    }
    if scored:
        every = [score for scores in scored for score in scores]
        behind_best = [scores[0] - score for scores in scored for score in scores[1:]]
        statistics |= {"mean": fmean(every), "std": pstdev(every)}
        statistics |= {"mean_behind_best": fmean(behind_best)} if behind_best else {}
    return statistics


def _plausible_scores(each: ReferencedList) -> list[float]:
    scores = [h.first_pass_score for h in each.distinct if h.first_pass_score is not None]
    best = max(scores)
    return [score for score in scores if best - score <= IMPOSSIBLE_GAP]


def unseen_references(test: Sequence[ReferencedList], train: Sequence[ReferencedList]) -> list[int]:
    """Positions of test lists whose reference no training list has: a table of references cannot help there."""
    seen = {tuple((each.nbest.reference or "").split()) for each in train}
    return [i for i, each in enumerate(test) if tuple((each.nbest.reference or "").split()) not in seen]
