"""Word errors of an utterance, and the word error rate of a corpus."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein


def word_errors(reference: str, hypothesis: str) -> int:
    """Returns the lowest number of word substitutions, deletions and insertions that turn one text into the other.

    Words are separated by white space. Case and punctuation matter, as with jiwer's defaults. To ignore them, normalise
    both texts first.
    """
    return int(Levenshtein.distance(reference.split(), hypothesis.split()))


def oracle_errors(reference: str, transcripts: Sequence[str], first: int | None = None) -> int:
    """Returns the lowest number of word errors in `transcripts[:first]`.

    Raises ValueError if `transcripts` is empty.
    """
    return min(word_errors(reference, transcript) for transcript in transcripts[:first])


@dataclass(frozen=True, slots=True)
class WordErrorRate:
    """Word errors pooled over a corpus. The sum of two WordErrorRates is the rate of both corpora together.

    Attributes:
        errors: number of word errors.
        words: number of reference words.
        utterances: number of utterances.
    """

    errors: int = 0
    words: int = 0
    utterances: int = 0

    @classmethod
    def of(cls, reference: str, hypothesis: str) -> "WordErrorRate":
        """Returns the rate of one utterance."""
        return cls.from_errors(reference, word_errors(reference, hypothesis))

    @classmethod
    def from_errors(cls, reference: str, errors: int) -> "WordErrorRate":
        """Returns the rate of one utterance whose word errors are already counted."""
        return cls(errors, len(reference.split()), 1)

    @property
    def percent(self) -> float:
        """Errors per hundred reference words; infinite if there are errors but no reference words."""
        if self.words:
            return 100.0 * self.errors / self.words
        return math.inf if self.errors else 0.0

    def __add__(self, other: "WordErrorRate") -> "WordErrorRate":
        return WordErrorRate(self.errors + other.errors, self.words + other.words, self.utterances + other.utterances)


def word_error_rate(pairs: Iterable[tuple[str, str]]) -> WordErrorRate:
    """Returns the pooled rate of (reference, hypothesis) pairs."""
    return sum((WordErrorRate.of(reference, hypothesis) for reference, hypothesis in pairs), WordErrorRate())
