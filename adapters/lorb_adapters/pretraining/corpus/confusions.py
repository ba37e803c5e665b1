"""Counts a recogniser's confusions of words on lists with references, and draws from them."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from rapidfuzz.distance import Levenshtein

from lorb.nbest import NBest
from lorb_adapters.text import TextNormalization

_MAX_WORDS = 3  # longer runs of errors are not counted as confusions

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Confusion:
    """A recognition error.

    Attributes:
        num_words: number of spoken words that are replaced; 0 for an insertion.
        written: the words written instead; empty for a deletion.
    """

    num_words: int
    written: Words


class Confusions:
    """Confusions of up to three spoken words with up to three written words.

    They are drawn in proportion to their counts.

    Attributes:
        counts: number of times that each pair (spoken words, written words) occurred.
    """

    def __init__(self, counts: Counter[tuple[Words, Words]]) -> None:
        by_spoken: defaultdict[Words, list[tuple[Words, int]]] = defaultdict(list)
        for (spoken, written), count in sorted(counts.items()):
            by_spoken[spoken].append((written, count))
        insertions = by_spoken.pop((), [])
        total = counts.total()
        self.counts = counts
        self._insertion_share = sum(count for _, count in insertions) / total if total else 0.0
        self._insertions = _choices([(Confusion(0, written), count) for written, count in insertions])
        self._by_spoken = by_spoken

    @classmethod
    def from_lists(cls, lists: Iterable[NBest], normalization: TextNormalization) -> "Confusions":
        """Aligns every distinct hypothesis with its list's reference and counts the words that differ.

        The alignment has the minimum edit distance, as in the word error rate. Adjacent errors count as one confusion,
        for example one word written as two.
        """
        counts: Counter[tuple[Words, Words]] = Counter()
        for nbest in lists:
            spoken = normalization.apply(nbest.reference or "").split()
            for hypothesis in nbest.distinct():
                counts.update(_differences(spoken, normalization.apply(hypothesis.transcript).split()))
        return cls(counts)

    def draw(self, words: Sequence[str], at: int, rng: random.Random) -> Confusion | None:
        """Draws a confusion of the words from position `at` on, or an insertion before them; None if none is known."""
        if self._insertions[0] and rng.random() < self._insertion_share:
            return rng.choices(self._insertions[0], cum_weights=self._insertions[1])[0]
        known = [
            (Confusion(length, written), count)
            for length in range(1, min(_MAX_WORDS, len(words) - at) + 1)
            for written, count in self._by_spoken.get(tuple(words[at : at + length]), ())
        ]
        if not known:
            return None
        choices, weights = _choices(known)
        return rng.choices(choices, cum_weights=weights)[0]


def _choices(counted: Sequence[tuple[Confusion, int]]) -> tuple[list[Confusion], list[int]]:
    """The confusions and their cumulative counts."""
    return [each for each, _ in counted], list(accumulate(count for _, count in counted))


def _differences(spoken: Sequence[str], written: Sequence[str]) -> list[tuple[Words, Words]]:
    """Pairs (spoken, written) of the word runs in which two sentences differ; a run has at most `_MAX_WORDS` words."""
    blocks: list[list[int]] = []
    for edit in Levenshtein.opcodes(spoken, written):
        if edit.tag == "equal":
            continue
        if blocks and blocks[-1][1] == edit.src_start and blocks[-1][3] == edit.dest_start:
            blocks[-1][1], blocks[-1][3] = edit.src_end, edit.dest_end
        else:
            blocks.append([edit.src_start, edit.src_end, edit.dest_start, edit.dest_end])
    return [
        (tuple(spoken[a:b]), tuple(written[c:d]))
        for a, b, c, d in blocks
        if b - a <= _MAX_WORDS and d - c <= _MAX_WORDS
    ]
