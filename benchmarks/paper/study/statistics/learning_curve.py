"""Fits the change in WER to the logarithm of the number of train lists, with intervals.

change(n) = a + b log10(n), in WER, per cent absolute, negative is better; b is the change per tenfold number of lists.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from study.statistics.intervals import Interval, mean_wer, resampled_wers, seed_variance, with_variances


@dataclass(frozen=True, slots=True)
class FittedLine:
    """A fitted line.

    Attributes:
        slope: b, the change in WER per tenfold number of lists.
        explained: R squared of the line through the means.
        change_at: returns the fitted change at a number of lists.
    """

    slope: Interval
    explained: float
    change_at: Callable[[float], Interval]


def fitted(changes: Mapping[int, Sequence[np.ndarray]], words: np.ndarray, *, seed: int = 0) -> FittedLine:
    """Fits a line to the means over seeds. The intervals include the variance of the shared dev lists and of the seeds.

    changes: for at least two numbers of lists, [seeds] of [dev lists], the change in word errors; negative is fewer.
    """
    systems = [changes[count] for count in sorted(changes)]
    counts = np.log10(sorted(changes))
    means = np.array([mean_wer(each, words) for each in systems])
    design = np.linalg.pinv(np.stack([counts, np.ones_like(counts)], axis=1))  # [2, numbers]
    slope, start = design @ means
    explained = 1 - ((means - start - slope * counts) ** 2).sum() / max(1e-12, ((means - means.mean()) ** 2).sum())
    drawn = resampled_wers(systems, words, seed=seed)

    def interval(factors: np.ndarray) -> Interval:
        """The interval of a weighted sum of the means."""
        seeds = [seed_variance(each, words, float(factor)) for each, factor in zip(systems, factors, strict=True)]
        return with_variances(float(factors @ means), drawn @ factors, seeds)

    def change_at(number: float) -> Interval:
        return interval(design[1] + design[0] * np.log10(number))

    return FittedLine(interval(design[0]), float(explained), change_at)
