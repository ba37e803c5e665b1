"""A recogniser's own confusions: which words it wrote for which, counted on lists with references."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from rapidfuzz.distance import Levenshtein

from lorb.nbest import NBest
from lorb_adapters.text import TextNormalization

# Longer stretches of errors are a hypothesis gone astray, not one word taken for another.
_MOST_WORDS = 3

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Confusion:
    """What stands in for some words of a sentence: none at all is a deletion, for no words an insertion."""

    num_words: int
    written: Words


class Confusions:
    """Confusions of up to three words with up to three, by what was said; each as likely as it was seen."""

    def __init__(self, counts: Counter[tuple[Words, Words]]) -> None:
        """counts: of (said, written)."""
        by_said: defaultdict[Words, list[tuple[Words, int]]] = defaultdict(list)
        for (said, written), count in sorted(counts.items()):
            by_said[said].append((written, count))
        insertions = by_said.pop((), [])
        total = counts.total()
        self.counts = counts
        self._insertion_share = sum(count for _, count in insertions) / total if total else 0.0
        self._insertions = _choices([(Confusion(0, written), count) for written, count in insertions])
        self._by_said = by_said

    @classmethod
    def learn(cls, lists: Iterable[NBest], normalization: TextNormalization) -> "Confusions":
        """Aligns every hypothesis with its list's reference; each word of the hypotheses counts once.

        The alignment has the fewest word errors, as the word error rate has; neighbouring errors count as one, which
        shows words written as two, and two as one.
        """
        counts: Counter[tuple[Words, Words]] = Counter()
        for nbest in lists:
            said = normalization.apply(nbest.reference or "").split()
            for hypothesis in nbest.distinct():
                counts.update(_confused(said, normalization.apply(hypothesis.transcript).split()))
        return cls(counts)

    def draw(self, words: Sequence[str], at: int, rng: random.Random) -> Confusion | None:
        """What the recogniser might have written for the words from `at` on; None where it knows nothing of them."""
        if self._insertions[0] and rng.random() < self._insertion_share:
            return rng.choices(self._insertions[0], cum_weights=self._insertions[1])[0]
        known = [
            (Confusion(length, written), count)
            for length in range(1, min(_MOST_WORDS, len(words) - at) + 1)
            for written, count in self._by_said.get(tuple(words[at : at + length]), ())
        ]
        if not known:
            return None
        choices, weights = _choices(known)
        return rng.choices(choices, cum_weights=weights)[0]


def _choices(counted: Sequence[tuple[Confusion, int]]) -> tuple[list[Confusion], list[int]]:
    return [each for each, _ in counted], list(accumulate(count for _, count in counted))


def _confused(said: Sequence[str], written: Sequence[str]) -> list[tuple[Words, Words]]:
    """The stretches in which two sentences differ, where both are short."""
    blocks: list[list[int]] = []
    for edit in Levenshtein.opcodes(said, written):
        if edit.tag == "equal":
            continue
        if blocks and blocks[-1][1] == edit.src_start and blocks[-1][3] == edit.dest_start:
            blocks[-1][1], blocks[-1][3] = edit.src_end, edit.dest_end
        else:
            blocks.append([edit.src_start, edit.src_end, edit.dest_start, edit.dest_end])
    return [
        (tuple(said[a:b]), tuple(written[c:d]))
        for a, b, c, d in blocks
        if b - a <= _MOST_WORDS and d - c <= _MOST_WORDS
    ]
