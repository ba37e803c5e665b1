"""Significance of a change in word errors: paired bootstrap, and NIST's matched-pairs test (MAPSSWE)."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
from rapidfuzz.distance import Levenshtein

NUM_RESAMPLES = 10_000
_MAX_DRAWS_AT_ONCE = 2**20  # bounds the memory of the bootstrap
_WORDS_BETWEEN_SEGMENTS = 2


@dataclass(frozen=True, slots=True)
class PairedBootstrap:
    """The 95% interval of a change in WER, in absolute per cent; a negative change is an improvement.

    Attributes:
        low, high: ends of the interval.
        probability_of_improvement: share of the resamples in which the second system has fewer errors, 0 to 1.
    """

    low: float
    high: float
    probability_of_improvement: float


def paired_bootstrap(first: np.ndarray, second: np.ndarray, words: np.ndarray, *, seed: int = 0) -> PairedBootstrap:
    """Returns the interval of the change from the first system's WER to the second's.

    Utterances are resampled with replacement, 10,000 times; each resample has the same utterances of both systems.

    M. Bisani and H. Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation", ICASSP 2004.

    first, second: [utterances] word errors of each system. words: [utterances] words of each reference.
    """
    difference, num_utterances = second - first, len(words)
    rng = np.random.default_rng(seed)
    changes = np.empty(NUM_RESAMPLES)
    at_once = max(1, _MAX_DRAWS_AT_ONCE // max(1, num_utterances))
    for start in range(0, NUM_RESAMPLES, at_once):
        part = changes[start : start + at_once]
        sampled = rng.integers(0, num_utterances, (len(part), num_utterances))
        part[:] = 100 * difference[sampled].sum(axis=1) / np.maximum(1, words[sampled].sum(axis=1))
    low, high = np.percentile(changes, [2.5, 97.5])
    return PairedBootstrap(float(low), float(high), float((changes < 0).mean()))


@dataclass(frozen=True, slots=True)
class MatchedPairs:
    """Result of the matched pairs sentence-segment word error test (MAPSSWE).

    L. Gillick and S. Cox, "Some statistical issues in the comparison of speech recognition algorithms", ICASSP 1989;
    implemented as in NIST's scoring toolkit (SCTK).

    Attributes:
        num_segments: number of segments.
        mean_difference: the first system's word errors minus the second's, per segment; above 0, the second is better.
        z: mean_difference / (s / sqrt(num_segments)), s^2 being the sample variance; 0 if s is 0.
        p: probability of |z| at least this large if the systems do not differ; z is then taken as standard normal.
    """

    num_segments: int
    mean_difference: float
    z: float
    p: float

    @classmethod
    def of(cls, differences: Sequence[int]) -> "MatchedPairs":
        """Runs the test on the segments' differences in word errors, first system minus second."""
        mean = fmean(differences) if differences else 0.0
        deviation = stdev(differences) if len(differences) > 1 else 0.0
        z = mean / (deviation / math.sqrt(len(differences))) if deviation else 0.0
        return cls(len(differences), mean, z, math.erfc(abs(z) / math.sqrt(2)))


def matched_pairs(utterances: Iterable[tuple[str, str, str]]) -> MatchedPairs:
    """Runs the test on (reference, first system's text, second system's text) of each utterance."""
    return MatchedPairs.of([difference for each in utterances for difference in segment_differences(*each)])


def segment_differences(reference: str, first: str, second: str) -> list[int]:
    """Returns the first system's word errors minus the second's, for each segment of one utterance.

    A segment starts at the first error of either system. It ends after two consecutive words that both systems got
    right, or at the end of the utterance. Outside the segments both systems are right, so the differences add up to
    the utterance's difference. Errors are placed by a minimum-edit-distance alignment over white-space words. NIST's
    sclite weighs a substitution 4 and an insertion or deletion 3, so it may place an error elsewhere.
    """
    return segment_differences_by_place(errors_by_place(reference, first), errors_by_place(reference, second))


def segment_differences_by_place(first: Sequence[int], second: Sequence[int]) -> list[int]:
    """Returns what `segment_differences` does. first, second: each system's errors as `errors_by_place` gives them."""
    differences: list[int] = []
    num_correct = _WORDS_BETWEEN_SEGMENTS
    for place, (first_errors, second_errors) in enumerate(zip(first, second, strict=True)):
        if first_errors or second_errors:
            if num_correct >= _WORDS_BETWEEN_SEGMENTS:
                differences.append(0)
            differences[-1] += first_errors - second_errors
            num_correct = 0
        elif _is_word(place):
            num_correct += 1
    return differences


def errors_by_place(reference: str, text: str) -> list[int]:
    """Returns the errors by place, [2 * words + 1]: the gap before word 1, word 1, the gap before word 2, and so on."""
    words = reference.split()
    errors = [0] * (2 * len(words) + 1)
    for edit in Levenshtein.editops(words, text.split()):
        errors[2 * edit.src_pos + (edit.tag != "insert")] += 1
    return errors


def _is_word(place: int) -> bool:
    return place % 2 == 1
