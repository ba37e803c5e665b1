"""What rescoring changes against the number of train lists: a line in the logarithm of the number, and how sure it is.

change(n) = a + b log10(n), in WER, per cent absolute, below 0 is better; b is what ten times the lists bring.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from study.statistics.intervals import Interval, mean_wer, resampled_wers, seed_chance, with_chances


@dataclass(frozen=True, slots=True)
class ChannelLease:
    """The line through the means, and what is known of it.

    Attributes:
        slope: b.
        explained: R squared of the means.
        change_at: the change that it has at a number of lists.
    """

    slope: Interval
    explained: float
    change_at: Callable[[float], Interval]


def fitted(changes: Mapping[int, Sequence[np.ndarray]], words: np.ndarray, *, seed: int = 0) -> ChannelLease:
    """The line for some numbers of lists, at least two.

    changes: by number of lists, [seeds] of [dev lists], word errors more than before, below 0 is fewer. Intervals: the
    chance of the dev lists, the same for all numbers, and that of each number's seeds (`study.statistics.intervals`).
    """
    systems = [changes[count] for count in sorted(changes)]
    counts = np.log10(sorted(changes))
    means = np.array([mean_wer(each, words) for each in systems])
    design = np.linalg.pinv(np.stack([counts, np.ones_like(counts)], axis=1))  # [2, numbers]
    slope, start = design @ means
    explained = 1 - ((means - start - slope * counts) ** 2).sum() / max(1e-12, ((means - means.mean()) ** 2).sum())
    drawn = resampled_wers(systems, words, seed=seed)

    def interval(times: np.ndarray) -> Interval:
        """Of the sum of the means, each so many times."""
        seeds = [seed_chance(each, words, float(share)) for each, share in zip(systems, times, strict=True)]
        return with_chances(float(times @ means), drawn @ times, seeds)

    def change_at(number: float) -> Interval:
        return interval(design[1] + design[0] * np.log10(number))

    return ChannelLease(interval(design[0]), float(explained), change_at)
