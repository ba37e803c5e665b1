"""Whether two recognisers differ: the matched pairs sentence-segment word error test of NIST's scoring toolkit (SCTK).

L. Gillick and S. Cox, "Some statistical issues in the comparison of speech recognition algorithms", ICASSP 1989.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from rapidfuzz.distance import Levenshtein

_WORDS_BETWEEN_SEGMENTS = 2


@dataclass(frozen=True, slots=True)
class MatchedPairs:
    """The test's outcome.

    Attributes:
        num_segments: a count.
        mean_difference: the first system's word errors minus the second's, a segment; above 0: the second is better.
        z: mean_difference / (s / sqrt(num_segments)) with s of variance over num_segments - 1; 0 where s is 0.
        p: two-tailed, under the normal distribution: how likely so large a z is between systems that do not differ.
    """

    num_segments: int
    mean_difference: float
    z: float
    p: float

    @classmethod
    def of(cls, differences: Sequence[int]) -> "MatchedPairs":
        """The test on the segments' differences in word errors, first system minus second."""
        mean = fmean(differences) if differences else 0.0
        deviation = stdev(differences) if len(differences) > 1 else 0.0
        z = mean / (deviation / math.sqrt(len(differences))) if deviation else 0.0
        return cls(len(differences), mean, z, math.erfc(abs(z) / math.sqrt(2)))


def matched_pairs(utterances: Iterable[tuple[str, str, str]]) -> MatchedPairs:
    """The test on (reference, first system's text, second system's text) of each utterance."""
    return MatchedPairs.of([difference for each in utterances for difference in segment_differences(*each)])


def segment_differences(reference: str, first: str, second: str) -> list[int]:
    """First system's word errors minus the second's, in each segment of one utterance.

    A segment opens at the first error of either system, and closes after two words in a row that both got right,
    or with the utterance; what lies between segments is right in both. The differences sum up to the utterance's.
    Errors are placed by a shortest alignment over white-space words (sclite weighs substitutions 4 to 3: where an
    error lies may differ, how many there are seldom does).
    """
    differences: list[int] = []
    num_correct = _WORDS_BETWEEN_SEGMENTS
    places = zip(_errors_by_place(reference, first), _errors_by_place(reference, second), strict=True)
    for place, (one, other) in enumerate(places):
        if one or other:
            if num_correct >= _WORDS_BETWEEN_SEGMENTS:
                differences.append(0)
            differences[-1] += one - other
            num_correct = 0
        elif _is_word(place):
            num_correct += 1
    return differences


def _errors_by_place(reference: str, text: str) -> list[int]:
    """[2 * words + 1] errors at each place: the gap before the first word, that word, the gap behind it, and so on."""
    words = reference.split()
    errors = [0] * (2 * len(words) + 1)
    for edit in Levenshtein.editops(words, text.split()):
        errors[2 * edit.src_pos + (edit.tag != "insert")] += 1
    return errors


def _is_word(place: int) -> bool:
    return place % 2 == 1
