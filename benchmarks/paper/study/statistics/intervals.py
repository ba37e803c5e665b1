"""Confidence intervals: over seeds, and of the difference between two methods on the same lists."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

NUM_RESAMPLES, _RESAMPLES_AT_ONCE = 10_000, 1_000
# Two-sided 95% points of Student's t, by 1 / degrees of freedom. Linear interpolation is slightly conservative.
_STUDENT = {
    0: 1.960, 1 / 60: 2.000, 1 / 20: 2.086, 1 / 10: 2.228, 1 / 8: 2.306, 1 / 7: 2.365, 1 / 6: 2.447, 1 / 5: 2.571,
    1 / 4: 2.776, 1 / 3: 3.182, 1 / 2: 4.303, 1: 12.706,
}  # fmt: skip

# Errors of two systems, [seeds] of [lists], and the words of the lists.
Pair = tuple[Sequence[np.ndarray], Sequence[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95% interval, in the figure's unit; the ends are NaN if they are unknown."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return self.text()

    def text(self, digits: int = 2, *, sign: bool = False) -> str:
        """Formats it as "5.61 (5.40 to 5.82)"; the value alone if the interval is unknown."""
        shape = f"{'+' if sign else ''}.{digits}f"
        if math.isnan(self.low):
            return format(self.value, shape)
        return f"{self.value:{shape}} ({self.low:{shape}} to {self.high:{shape}})"


@dataclass(frozen=True, slots=True)
class Variance:
    """A part of a figure's variance, and its degrees of freedom."""

    variance: float
    degrees: float


def over_seeds(values: Sequence[float]) -> Interval:
    """The mean of a figure over seeds with Student's interval."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean, math.nan, math.nan)
    return _around(mean, [_of_mean(values)])


def paired_difference(
    ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray], words: np.ndarray, *, seed: int = 0
) -> Interval:
    """Ours minus theirs in WER, absolute per cent; negative is better.

    ours, theirs: [seeds] of [lists], word errors. The interval includes two sources of variance. That of the lists
    comes from 10,000 resamples of the same lists for both systems (Bisani and Ney 2004), with each list's errors
    averaged over seeds. That of training is the variance of each system's mean over its seeds; a system with one seed
    adds none. The degrees of freedom of the sum are Welch and Satterthwaite's.
    """
    return pooled_difference([(ours, theirs, words)], seed=seed)


def pooled_difference(parts: Sequence[Pair], *, seed: int = 0) -> Interval:
    """The mean over domains of paired differences, with equal weights; each domain is resampled separately."""
    values, resampled, seeds = [], [], []
    for number, (ours, theirs, words) in enumerate(parts):
        wers = resampled_wers((ours, theirs), words, seed=seed + number)
        values.append(mean_wer(ours, words) - mean_wer(theirs, words))
        resampled.append(wers[:, 0] - wers[:, 1])
        seeds += [seed_variance(errors, words, 1 / len(parts)) for errors in (ours, theirs)]
    return with_variances(float(np.mean(values)), np.mean(resampled, axis=0), seeds)


def mean_wer(errors: Sequence[np.ndarray], words: np.ndarray) -> float:
    """The pooled WER in per cent, averaged over seeds. errors: [seeds] of [lists]."""
    return float(100 * np.stack(errors).mean(axis=0).sum() / words.sum())


def resampled_wers(systems: Sequence[Sequence[np.ndarray]], words: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """WERs in per cent, averaged over seeds, [resamples, systems]. A resample has the same lists for all systems.

    systems: word errors of each system, [seeds] of [lists].
    """
    rng = np.random.default_rng(seed)
    means = np.stack([np.stack(errors).mean(axis=0) for errors in systems], axis=1)  # [lists, systems]
    parts = []
    for _ in range(NUM_RESAMPLES // _RESAMPLES_AT_ONCE):
        # how often each list is drawn
        drawn = rng.multinomial(len(words), np.full(len(words), 1 / len(words)), _RESAMPLES_AT_ONCE).astype(float)
        parts.append(100 * (drawn @ means) / np.maximum(1, drawn @ words)[:, None])
    return np.concatenate(parts)


def seed_variance(errors: Sequence[np.ndarray], words: np.ndarray, factor: float) -> Variance:
    """The variance from training of `factor` times a system's mean WER. errors: [seeds] of [lists]."""
    if len(errors) < 2:
        return Variance(0.0, 1)
    mean = _of_mean([mean_wer([each], words) for each in errors])
    return Variance(mean.variance * factor**2, mean.degrees)


def with_variances(value: float, resampled: np.ndarray, seeds: Iterable[Variance]) -> Interval:
    """The figure with an interval that includes the variance of lists and of training.

    resampled: [resamples] the same figure on resampled lists. seeds: variances from training.
    """
    return _around(value, [Variance(float(resampled.var()), math.inf), *seeds])


def _of_mean(values: Sequence[float]) -> Variance:
    return Variance(float(np.var(values, ddof=1)) / len(values), len(values) - 1)


def _around(value: float, variances: Sequence[Variance]) -> Interval:
    """The interval for a sum of variances v with degrees of freedom d.

    The sum V has V**2 / sum(v**2 / d) degrees of freedom (Satterthwaite 1946).
    """
    variance = sum(each.variance for each in variances)
    if variance == 0:
        return Interval(value, value, value)
    one_over_degrees = sum(each.variance**2 / each.degrees for each in variances) / variance**2
    half = float(np.interp(one_over_degrees, list(_STUDENT), list(_STUDENT.values()))) * math.sqrt(variance)
    return Interval(value, value - half, value + half)


HELD, NOT_HELD, OPEN = "held", "not held", "not decided"


def at_most(interval: Interval, bound: float) -> str:
    """The verdict on "the figure is at most `bound`"; OPEN if the interval contains the bound."""
    if interval.high <= bound:
        return HELD
    return NOT_HELD if interval.low > bound else OPEN


def within(interval: Interval, bound: float) -> str:
    """The verdict on "the difference is at most `bound` in size"; OPEN if the interval crosses -bound or bound."""
    if -bound <= interval.low and interval.high <= bound:
        return HELD
    return NOT_HELD if interval.low > bound or interval.high < -bound else OPEN


def at_least(interval: Interval, bound: float) -> str:
    """The verdict on "the figure is at least `bound`"."""
    return at_most(Interval(-interval.value, -interval.high, -interval.low), -bound)
