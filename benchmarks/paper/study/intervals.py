"""How sure a figure is: over seeds, and between two methods on the same lists."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NUM_RESAMPLES, _RESAMPLES_AT_ONCE = 10_000, 1_000
# Two-sided 95% points of Student's t by degrees of freedom, 1 to 10; beyond, the normal's is near enough.
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
_NORMAL = 1.96

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


def over_seeds(values: Sequence[float]) -> Interval:
    """Mean and Student's interval of one figure over seeds."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean, math.nan, math.nan)
    point = _STUDENT[len(values) - 2] if len(values) - 2 < len(_STUDENT) else _NORMAL
    half = point * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


def paired_difference(
    ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray], words: np.ndarray, *, seed: int = 0
) -> Interval:
    """Ours minus theirs in WER, absolute per cent, below 0 is better; the interval by a paired bootstrap.

    ours, theirs: [seeds] of [lists], word errors. Each of 10,000 resamples draws lists, the same ones for both (Bisani
    and Ney 2004), and for each of the two its own seeds: the chance of training and that of the lists are both in it.
    """
    return pooled_difference([(ours, theirs, words)], seed=seed)


def resampled_wers(systems: Sequence[Sequence[np.ndarray]], words: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """WERs in per cent, [resamples, systems]: in each resample all have the same lists, and each seeds of its own.

    systems: of each [seeds] of [lists], word errors.
    """
    rng = np.random.default_rng(seed)
    stacked = [np.stack(errors).astype(float) for errors in systems]
    parts = []
    for _ in range(NUM_RESAMPLES // _RESAMPLES_AT_ONCE):
        # how often each list, and of each system each seed, is drawn
        lists = rng.multinomial(len(words), np.full(len(words), 1 / len(words)), _RESAMPLES_AT_ONCE).astype(float)
        totals = []
        for errors in stacked:
            num_seeds = len(errors)
            seeds = rng.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), _RESAMPLES_AT_ONCE) / num_seeds
            totals.append(((lists @ errors.T) * seeds).sum(axis=1))
        parts.append(100 * np.stack(totals, axis=1) / np.maximum(1, lists @ words)[:, None])
    return np.concatenate(parts)


def pooled_difference(parts: Sequence[Pair], *, seed: int = 0) -> Interval:
    """The mean over domains of `paired_difference`; each domain weighs the same, and is drawn apart from the others."""
    values, resampled = [], []
    for number, (ours, theirs, words) in enumerate(parts):
        means = [np.stack(errors).mean(axis=0).sum() for errors in (ours, theirs)]
        values.append(100 * (means[0] - means[1]) / words.sum())
        wers = resampled_wers((ours, theirs), words, seed=seed + number)
        resampled.append(wers[:, 0] - wers[:, 1])
    low, high = np.percentile(np.mean(resampled, axis=0), [2.5, 97.5])
    return Interval(float(np.mean(values)), float(low), float(high))


HELD, NOT_HELD, OPEN = "held", "not held", "not decided"


def at_most(interval: Interval, bound: float) -> str:
    """The verdict on "the figure is at most so much": decided where the whole interval is on one side."""
    if interval.high <= bound:
        return HELD
    return NOT_HELD if interval.low > bound else OPEN


def within(interval: Interval, bound: float) -> str:
    """The verdict on "the two are equal but for so much": not held where the whole interval is worse than equal."""
    if -bound <= interval.low and interval.high <= bound:
        return HELD
    return NOT_HELD if interval.low > 0 else OPEN


def at_least(interval: Interval, bound: float) -> str:
    """The verdict on "the figure is at least so much"."""
    return at_most(Interval(-interval.value, -interval.high, -interval.low), -bound)
