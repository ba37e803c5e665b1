"""How sure a figure is: over seeds, and between two methods on the same lists."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

NUM_RESAMPLES, _RESAMPLES_AT_ONCE = 10_000, 1_000
# Two-sided 95% points of Student's t, by one over the degrees of freedom; a line between two of them is a little wide.
_STUDENT = {
    0: 1.960, 1 / 60: 2.000, 1 / 20: 2.086, 1 / 10: 2.228, 1 / 8: 2.306, 1 / 7: 2.365, 1 / 6: 2.447, 1 / 5: 2.571,
    1 / 4: 2.776, 1 / 3: 3.182, 1 / 2: 4.303, 1: 12.706,
}  # fmt: skip

# Errors of two systems, [seeds] of [lists], and the words of the lists.
Pair = tuple[Sequence[np.ndarray], Sequence[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the ends of its 95% interval, in the figure's unit; NaN ends where nothing tells them."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return self.text()

    def text(self, digits: int = 2, *, sign: bool = False) -> str:
        """As "5.61 (5.40 to 5.82)"; the value alone where there are no ends."""
        shape = f"{'+' if sign else ''}.{digits}f"
        if math.isnan(self.low):
            return format(self.value, shape)
        return f"{self.value:{shape}} ({self.low:{shape}} to {self.high:{shape}})"


@dataclass(frozen=True, slots=True)
class Chance:
    """A part of a figure's variance, and the degrees of freedom that it was estimated with."""

    variance: float
    degrees: float


def over_seeds(values: Sequence[float]) -> Interval:
    """Mean and Student's interval of one figure over seeds."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean, math.nan, math.nan)
    return _around(mean, [_of_mean(values)])


def paired_difference(
    ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray], words: np.ndarray, *, seed: int = 0
) -> Interval:
    """Ours minus theirs in WER, absolute per cent, below 0 is better.

    ours, theirs: [seeds] of [lists], word errors. The interval holds both chances. That of the lists is the variance of
    10,000 resamples, of the same lists for both (Bisani and Ney 2004), with the mean over seeds of each list's errors.
    That of training is the variance of each system's mean over its seeds; a system with one seed adds none, as nothing
    tells it. The degrees of freedom of their sum are Welch and Satterthwaite's.
    """
    return pooled_difference([(ours, theirs, words)], seed=seed)


def pooled_difference(parts: Sequence[Pair], *, seed: int = 0) -> Interval:
    """The mean over domains of `paired_difference`; each domain weighs the same, and is drawn apart from the others."""
    values, resampled, seeds = [], [], []
    for number, (ours, theirs, words) in enumerate(parts):
        wers = resampled_wers((ours, theirs), words, seed=seed + number)
        values.append(mean_wer(ours, words) - mean_wer(theirs, words))
        resampled.append(wers[:, 0] - wers[:, 1])
        seeds += [seed_chance(errors, words, 1 / len(parts)) for errors in (ours, theirs)]
    return with_chances(float(np.mean(values)), np.mean(resampled, axis=0), seeds)


def mean_wer(errors: Sequence[np.ndarray], words: np.ndarray) -> float:
    """Per cent, pooled over lists, mean over seeds. errors: [seeds] of [lists]."""
    return float(100 * np.stack(errors).mean(axis=0).sum() / words.sum())


def resampled_wers(systems: Sequence[Sequence[np.ndarray]], words: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Mean WERs in per cent, [resamples, systems]: in each resample all have the same lists.

    systems: of each [seeds] of [lists], word errors.
    """
    rng = np.random.default_rng(seed)
    means = np.stack([np.stack(errors).mean(axis=0) for errors in systems], axis=1)  # [lists, systems]
    parts = []
    for _ in range(NUM_RESAMPLES // _RESAMPLES_AT_ONCE):
        # how often each list is drawn
        drawn = rng.multinomial(len(words), np.full(len(words), 1 / len(words)), _RESAMPLES_AT_ONCE).astype(float)
        parts.append(100 * (drawn @ means) / np.maximum(1, drawn @ words)[:, None])
    return np.concatenate(parts)


def seed_chance(errors: Sequence[np.ndarray], words: np.ndarray, times: float) -> Chance:
    """What training adds to the variance of `times` a system's mean WER. errors: [seeds] of [lists]."""
    if len(errors) < 2:
        return Chance(0.0, 1)
    mean = _of_mean([mean_wer([each], words) for each in errors])
    return Chance(mean.variance * times**2, mean.degrees)


def with_chances(value: float, resampled: np.ndarray, seeds: Iterable[Chance]) -> Interval:
    """The figure with the chance of the lists, of which there are hundreds, and that of training.

    resampled: [resamples], the same figure on resampled lists.
    """
    return _around(value, [Chance(float(resampled.var()), math.inf), *seeds])


def _of_mean(values: Sequence[float]) -> Chance:
    return Chance(float(np.var(values, ddof=1)) / len(values), len(values) - 1)


def _around(value: float, chances: Sequence[Chance]) -> Interval:
    """Satterthwaite (1946): V**2 / sum(v**2 / d) degrees of freedom for a variance V that is the sum of the v."""
    variance = sum(each.variance for each in chances)
    if variance == 0:
        return Interval(value, value, value)
    one_over_degrees = sum(each.variance**2 / each.degrees for each in chances) / variance**2
    half = float(np.interp(one_over_degrees, list(_STUDENT), list(_STUDENT.values()))) * math.sqrt(variance)
    return Interval(value, value - half, value + half)


HELD, NOT_HELD, OPEN = "held", "not held", "not decided"


def at_most(interval: Interval, bound: float) -> str:
    """The verdict on "the figure is at most so much": decided where the whole interval is on one side."""
    if interval.high <= bound:
        return HELD
    return NOT_HELD if interval.low > bound else OPEN


def within(interval: Interval, bound: float) -> str:
    """The verdict on "the two are equal but for so much": decided where the whole interval is within, or outside."""
    if -bound <= interval.low and interval.high <= bound:
        return HELD
    return NOT_HELD if interval.low > bound or interval.high < -bound else OPEN


def at_least(interval: Interval, bound: float) -> str:
    """The verdict on "the figure is at least so much"."""
    return at_most(Interval(-interval.value, -interval.high, -interval.low), -bound)
