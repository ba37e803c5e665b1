"""The lists of a run: read, audited, encoded, with the lists of dev and test held out of train."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lorb.errors import InvalidInput
from lorb.formats import Notices
from lorb.nbest import NBest
from lorb_adapters.text import TextEncoder
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.data.audit import Audit
from lorb_adapters.training.data.encoded_lists import EncodedList, encode_lists
from lorb_adapters.training.data.files import DEV, OTHER_DOMAIN, TEST, TRAIN, DataFiles


@dataclass(frozen=True, slots=True)
class Dataset:
    """The lists of a run, encoded.

    Attributes:
        train: lists to train on, without the lists whose id is in dev or test.
        dev, test, ood: the other sets; `test` and `ood` may be empty.
        num_held_out: number of lists removed from train because their id is in dev or test.
        audit: audit of the lists as read.
        notices: changes that the readers made to the lists, one line each.
    """

    train: list[EncodedList]
    dev: list[EncodedList]
    test: list[EncodedList]
    ood: list[EncodedList]
    num_held_out: int
    audit: Audit
    notices: tuple[str, ...] = ()

    def identity(self) -> Mapping[str, object]:
        """Returns a digest of the train lists' ids. It depends on dev and test too, which are held out of train."""
        ids = "\n".join(each.nbest.id for each in self.train)
        return {
            "train less dev and test": f"{len(self.train)} lists, ids {hashlib.sha256(ids.encode()).hexdigest()[:12]}"
        }

    def trainable_lists(self) -> list[EncodedList]:
        """Returns the train lists whose hypotheses differ in word errors. Raises InvalidInput if there are none."""
        trainable = [each for each in self.train if each.has_contrast]
        if not trainable:
            raise InvalidInput(
                "no train list has hypotheses that differ in word errors: give lists with more hypotheses, or check "
                "their references",
                field="train",
            )
        return trainable

    def list_counts(self) -> dict[str, int]:
        """Returns the number of lists by set and by use, under the names that the report shows."""
        num_trainable = sum(each.has_contrast for each in self.train)
        copies = sum(len(each.nbest.hypotheses) - len(each.distinct) for each in self.train)
        return {
            "train": len(self.train),
            "dropped from train, held out elsewhere": self.num_held_out,
            "without contrast": len(self.train) - num_trainable,
            "trained on": num_trainable,
            "copies merged": copies,
            "dev": len(self.dev),
            "test": len(self.test),
            "other domain": len(self.ood),
        }


def read_dataset(
    files: DataFiles, encoder: TextEncoder, config: TrainConfig, log: Callable[[str], None] = lambda line: None
) -> Dataset:
    """Reads, audits and encodes all files of a run.

    log: receives the readers' notices and the audit's tables, even if the audit finds an error. Raises MalformedFile if
    a file is wrong. Raises InvalidInput if the audit finds an error, if every train list is in dev or test too, or
    if a teacher's score is missing.
    """
    notices = Notices()
    sets, by_file = files.read_sets(notices)
    audit = Audit.of(sets, by_file)
    for text in (*notices.lines(), audit.to_markdown()):
        log(text)
    audit.check()
    train, dev, test, ood = (sets.get(name, []) for name in (TRAIN, DEV, TEST, OTHER_DOMAIN))
    held_out_ids = {nbest.id for nbest in (*dev, *test)}
    kept = [nbest for nbest in train if nbest.id not in held_out_ids]
    if not kept:
        raise InvalidInput(
            "every train list is in dev or test too, so no list is left to train on: give other train lists",
            field="train",
        )

    def encoded(lists: Sequence[NBest], *, uses_references: bool = False, teacher: str = "") -> list[EncodedList]:
        return encode_lists(
            lists,
            encoder,
            config.normalization,
            uses_context=config.uses_context,
            uses_references=uses_references,
            teacher=teacher,
        )

    return Dataset(
        encoded(kept, uses_references=config.uses_references, teacher=config.teacher),
        encoded(dev),
        encoded(test),
        encoded(ood),
        len(train) - len(kept),
        audit,
        tuple(notices.lines()),
    )


def unseen_references(test: Sequence[EncodedList], train: Sequence[EncodedList]) -> list[int]:
    """Returns the positions of the test lists whose reference is in no train list, so that no model memorised it."""
    seen = {_reference_words(each) for each in train}
    return [i for i, each in enumerate(test) if _reference_words(each) not in seen]


def _reference_words(each: EncodedList) -> tuple[str, ...]:
    return tuple((each.nbest.reference or "").split())
