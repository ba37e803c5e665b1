"""Intervals and verdicts: textbook numbers, and paired differences."""

import math

import numpy as np
import pytest

from study.statistics.intervals import (
    HELD,
    NOT_HELD,
    OPEN,
    Interval,
    at_least,
    at_most,
    mean_wer,
    over_seeds,
    paired_difference,
    pooled_difference,
    seed_variance,
    with_variances,
    within,
)
from study.statistics.learning_curve import fitted


def test_students_interval_of_three_seeds():
    """1, 2, 3: mean 2, deviation 1, half width 4.303 / sqrt(3)."""
    interval = over_seeds([1.0, 2.0, 3.0])
    assert interval.value == 2.0
    assert interval.high - interval.value == pytest.approx(4.303 / math.sqrt(3))
    assert interval.text(1) == "2.0 (-0.5 to 4.5)"


def test_one_seed_has_no_interval_and_decides_nothing():
    """One seed is shown as a value without an interval, and its verdict is open."""
    interval = over_seeds([2.5])
    assert interval.text(1) == "2.5"
    assert at_most(interval, 3.0) == OPEN


def test_a_paired_difference_sees_what_unpaired_ones_hide():
    """One error fewer in every list gives the same difference in every resample."""
    words = np.full(50, 10)
    theirs = np.arange(50) % 7 + 1
    interval = paired_difference([theirs - 1], [theirs], words)
    assert (interval.value, interval.low, interval.high) == pytest.approx((-10.0, -10.0, -10.0))
    both = pooled_difference([([theirs - 1], [theirs], words), ([theirs], [theirs], words)])
    assert (both.value, both.low, both.high) == pytest.approx((-5.0, -5.0, -5.0))


def test_seeds_widen_a_paired_difference():
    """The variance over seeds is included."""
    words, theirs = np.full(20, 10), np.full(20, 2)
    agreeing = paired_difference([theirs, theirs], [theirs], words)
    disagreeing = paired_difference([theirs - 1, theirs + 1], [theirs], words)
    assert agreeing.high - agreeing.low == 0
    # two seeds at 10 and 30%: a mean of 20 with a standard error of 10, and one degree of freedom
    assert (disagreeing.value, disagreeing.low, disagreeing.high) == pytest.approx((0.0, -127.06, 127.06))


@pytest.mark.parametrize(("num_seeds", "lists_deviation"), [(3, 0.0), (3, 3.0), (5, 1.0)])
def test_an_interval_covers_the_truth_in_nineteen_of_twenty_trials(num_seeds, lists_deviation):
    """The coverage is about 95% with variance from training (2 per cent WER) and from lists."""
    rng = np.random.default_rng(0)
    words, trials, covered = np.full(2, 50), 3000, 0
    resampled = rng.normal(0, lists_deviation, 1000)
    for _ in range(trials):
        systems = rng.normal(20, 2, (2, num_seeds, 1)) * [0.5, 0.5]
        difference = mean_wer(systems[0], words) - mean_wer(systems[1], words) + rng.normal(0, lists_deviation)
        interval = with_variances(difference, resampled, [seed_variance(each, words, 1.0) for each in systems])
        covered += interval.low <= 0 <= interval.high
    assert 0.94 <= covered / trials <= 0.985


@pytest.mark.parametrize(
    ("ends", "most", "least", "equal"),
    [
        ((-0.4, 0.05), HELD, NOT_HELD, HELD),
        ((0.2, 0.4), NOT_HELD, HELD, HELD),
        ((0.2, 0.9), NOT_HELD, HELD, OPEN),
        ((0.6, 0.9), NOT_HELD, HELD, NOT_HELD),
        ((-0.9, 0.3), OPEN, OPEN, OPEN),
        ((-3.0, -1.0), HELD, NOT_HELD, NOT_HELD),
    ],
)
def test_verdicts_need_the_whole_interval(ends, most, least, equal):
    """Verdicts for "at most 0.1", "at least 0.1" and "equal within 0.5" are open if the interval is not decisive."""
    interval = Interval(sum(ends) / 2, *ends)
    assert (at_most(interval, 0.1), at_least(interval, 0.1), within(interval, 0.5)) == (most, least, equal)


def test_a_learning_curve_on_a_line_is_found():
    """WER 20, 15, 10 at 10, 100, 1000 lists: slope -5, WER 5 at 10,000, intervals of width 0."""
    words = np.full(40, 20)
    errors = {10: [np.full(40, 4)], 100: [np.full(40, 3)], 1000: [np.full(40, 2)]}
    line = fitted(errors, words)
    assert (line.slope.value, line.slope.low, line.slope.high) == pytest.approx((-5.0, -5.0, -5.0))
    assert line.change_at(10_000).value == pytest.approx(5.0)
    assert line.change_at(100).value == pytest.approx(15.0)
    assert line.explained == pytest.approx(1.0)
