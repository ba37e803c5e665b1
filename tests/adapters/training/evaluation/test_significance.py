"""Significance: MAPSSWE's segments and statistic by hand and by properties, and the paired bootstrap."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb.word_errors import word_errors
from lorb_adapters.training.evaluation.significance import (
    MatchedPairs,
    matched_pairs,
    paired_bootstrap,
    segment_differences,
)

SENTENCES = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=12).map(" ".join)
UTTERANCES = st.tuples(SENTENCES, SENTENCES, SENTENCES)


@pytest.mark.parametrize(
    ("first", "second", "differences"),
    [
        ("a b c d e f g h", "a b c d e f g h", []),
        ("a x c d e f g h", "a b c d e f g h", [1]),
        ("a x c y e f g h", "a b c d e f g h", [2]),
        ("a x c d y f g h", "a b c d e f g h", [1, 1]),
        ("a x c d e f g h", "a b c y e f g h", [0]),
        ("a x c d e f g h", "a b c d y f g h", [1, -1]),
        ("a x c z d e f g h", "a b c d e f g h", [2]),
        ("a x c d e f g", "a b c d e f h", [1, 0]),
        ("z a b c d e f g h i", "a b c d e f g h", [1, 1]),
        ("", "a b c d e f g h", [8]),
        ("a x c d e f g h", "a x c d e f g h", [0]),
    ],
)
def test_a_segment_ends_after_two_words_that_both_systems_got_right(first, second, differences):
    """Errors one correct word apart share a segment; errors two apart do not; an insertion restarts the count."""
    assert segment_differences("a b c d e f g h", first, second) == differences


def test_a_hand_worked_example():
    """Segments with differences 1, 0 and 2 have mean 1, s = 1, Z = 1 / (1 / sqrt 3) = 1.7321 and p = 0.0833."""
    outcome = matched_pairs(
        [
            ("a b c d e f", "a x c d e f", "a b c d e f"),
            ("a b c d e f", "a b c d e x", "a b c d e y"),
            ("a b c d e f", "x y c d e f", "a b c d e f"),
        ]
    )
    assert outcome.num_segments == 3
    assert outcome.mean_difference == 1.0
    assert outcome.z == pytest.approx(math.sqrt(3))
    assert outcome.p == pytest.approx(0.0833, abs=5e-5)


@pytest.mark.parametrize("differences", [[], [3], [1, 1, 1], [0, 0]])
def test_without_variance_z_is_zero(differences):
    """With no segment, one segment or equal differences Z is 0 and p is 1, by the toolkit's convention."""
    outcome = MatchedPairs.of(differences)
    assert (outcome.z, outcome.p) == (0.0, 1.0)


def test_a_system_does_not_differ_from_itself(sample_dev):
    """On real lists the first pass against itself has more than 300 segments, all with difference 0: Z = 0, p = 1."""
    outcome = matched_pairs((n.reference, n.hypotheses[0].transcript, n.hypotheses[0].transcript) for n in sample_dev)
    assert outcome.num_segments > 300
    assert (outcome.mean_difference, outcome.z, outcome.p) == (0.0, 0.0, 1.0)


def test_the_tenth_hypothesis_is_worse_than_the_first(sample_dev):
    """On real lists the tenth hypothesis is significantly worse than the first, with a negative Z."""
    outcome = matched_pairs((n.reference, n.hypotheses[0].transcript, n.hypotheses[-1].transcript) for n in sample_dev)
    assert outcome.mean_difference < 0
    assert outcome.z < -5
    assert outcome.p < 1e-6


@given(st.lists(UTTERANCES, max_size=6))
def test_swapping_the_systems_flips_the_sign(utterances):
    """Z(first, second) = -Z(second, first), with the same number of segments and the same p."""
    one = matched_pairs(utterances)
    other = matched_pairs([(reference, second, first) for reference, first, second in utterances])
    assert one.num_segments == other.num_segments
    assert one.z == pytest.approx(-other.z)
    assert one.p == pytest.approx(other.p)


@given(UTTERANCES)
def test_no_error_is_lost_between_segments(utterance):
    """The differences of the segments add up to the difference in the utterance's word errors."""
    reference, first, second = utterance
    assert sum(segment_differences(*utterance)) == word_errors(reference, first) - word_errors(reference, second)


def test_uniform_changes_have_probability_0_or_1():
    """The probability is 1 if every list improves and 0 if every list worsens or none changes."""
    words = np.array([10] * 50)
    assert paired_bootstrap(words * 0 + 2, words * 0 + 1, words).probability_of_improvement == 1.0
    assert paired_bootstrap(words * 0 + 1, words * 0 + 2, words).probability_of_improvement == 0.0
    equal = paired_bootstrap(words * 0 + 1, words * 0 + 1, words)
    assert (equal.low, equal.high, equal.probability_of_improvement) == (0.0, 0.0, 0.0)


def test_the_bootstrap_pairs_utterances():
    """One error less on every list is certain although the lists differ widely, because the resamples are paired."""
    rng = np.random.default_rng(0)
    first_pass = rng.integers(1, 30, 200)
    bootstrap = paired_bootstrap(first_pass, first_pass - 1, np.array([30] * 200))
    assert bootstrap.probability_of_improvement == 1.0
    assert bootstrap.low == pytest.approx(bootstrap.high)


def test_the_95_percent_interval_covers_the_true_change():
    """Of 40 intervals on samples with a known mean change at least 33 contain it (95% of 40 is 38)."""
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(40):
        first_pass, rescored = rng.poisson(2.0, 150), rng.poisson(1.8, 150)
        interval = paired_bootstrap(first_pass, rescored, np.array([10] * 150))
        covered += interval.low <= -2.0 <= interval.high
    assert covered >= 33
