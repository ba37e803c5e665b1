"""Finds the word errors that a rescorer fixes and makes, compared with the first pass's choice."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

SUBSTITUTION, DELETION, INSERTION = "substitution", "deletion", "insertion"
_KINDS = {"replace": SUBSTITUTION, "delete": DELETION, "insert": INSERTION}


@dataclass(frozen=True, slots=True)
class WordError:
    """A word error of a text.

    Attributes:
        kind: SUBSTITUTION, DELETION or INSERTION.
        word: the reference's word, or the inserted one.
        place: position of the word in the reference; for an insertion, that of the next word.
    """

    kind: str
    word: str
    place: int


@dataclass(frozen=True, slots=True)
class WordChange:
    """An error that is only in the first pass's choice, or only in the rescorer's."""

    error: WordError
    is_fixed: bool


@dataclass(frozen=True, slots=True)
class Balance:
    """Counts for a class of words: errors of the first pass, errors fixed, errors made."""

    before: int
    fixed: int
    broken: int


def word_errors_of(reference: str, text: str) -> list[WordError]:
    """The errors of a minimum edit distance alignment of white-space words."""
    words, said = reference.split(), text.split()
    return [
        WordError(_KINDS[edit.tag], said[edit.dest_pos] if edit.tag == "insert" else words[edit.src_pos], edit.src_pos)
        for edit in Levenshtein.editops(words, said)
    ]


def word_changes(reference: str, before: str, after: str) -> Iterator[WordChange]:
    """The errors fixed and made. A substitution that becomes a deletion of the same word is no change.

    Insertions of the same word match wherever they are in the sentence.
    """
    old, new = (word_errors_of(reference, text) for text in (before, after))
    for one, other, is_fixed in ((old, new, True), (new, old, False)):
        places = {error.place for error in other if error.kind != INSERTION}
        inserted = Counter(error.word for error in other if error.kind == INSERTION)
        for error in one:
            if error.kind == INSERTION:
                if inserted[error.word]:
                    inserted[error.word] -= 1
                    continue
            elif error.place in places:
                continue
            yield WordChange(error, is_fixed)


def balances(utterances: Iterable[tuple[str, str, str]], class_of: Callable[[WordError], str]) -> dict[str, Balance]:
    """The balance of each class. utterances: (reference, first pass's text, rescored text)."""
    before: Counter[str] = Counter()
    changed: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for reference, first, rescored in utterances:
        before.update(class_of(error) for error in word_errors_of(reference, first))
        for change in word_changes(reference, first, rescored):
            changed[change.is_fixed][class_of(change.error)] += 1
    names = sorted(before | changed[False])
    return {name: Balance(before[name], changed[True][name], changed[False][name]) for name in names}
