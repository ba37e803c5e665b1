"""Word errors: counts of one utterance, and the rate pooled over many."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein


def word_errors(reference: str, hypothesis: str) -> int:
    """Substitutions, deletions and insertions between `reference` and `hypothesis`, over white-space words.

    Case and punctuation count, as in jiwer's default: normalise before, where they should not.
    """
    return int(Levenshtein.distance(reference.split(), hypothesis.split()))


def oracle_errors(reference: str, transcripts: Sequence[str], first: int | None = None) -> int:
    """The fewest word errors among the `first` transcripts, or all: what perfect re-ranking would leave.

    Raises ValueError where there is no transcript to choose from.
    """
    return min(word_errors(reference, transcript) for transcript in transcripts[:first])


@dataclass(frozen=True, slots=True)
class WordErrorRate:
    """Word errors pooled over a corpus. Rates of parts add up to the rate of the whole.

    Attributes:
        errors: word errors, a count.
        words: words of the references, a count.
        utterances: a count.
    """

    errors: int = 0
    words: int = 0
    utterances: int = 0

    @classmethod
    def of(cls, reference: str, hypothesis: str) -> "WordErrorRate":
        """The rate of one utterance."""
        return cls.counted(reference, word_errors(reference, hypothesis))

    @classmethod
    def counted(cls, reference: str, errors: int) -> "WordErrorRate":
        """The rate of one utterance whose word errors are known."""
        return cls(errors, len(reference.split()), 1)

    @property
    def percent(self) -> float:
        """Errors per hundred reference words. Infinite where there are errors but no words."""
        if self.words:
            return 100.0 * self.errors / self.words
        return math.inf if self.errors else 0.0

    def __add__(self, other: "WordErrorRate") -> "WordErrorRate":
        return WordErrorRate(self.errors + other.errors, self.words + other.words, self.utterances + other.utterances)


def word_error_rate(pairs: Iterable[tuple[str, str]]) -> WordErrorRate:
    """The pooled rate of (reference, hypothesis) pairs."""
    return sum((WordErrorRate.of(reference, hypothesis) for reference, hypothesis in pairs), WordErrorRate())
