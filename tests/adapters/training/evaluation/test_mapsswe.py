"""lorb_adapters.training.evaluation.mapsswe: segments and the test statistic, by hand and by rule."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb.word_errors import word_errors
from lorb_adapters.training.evaluation.mapsswe import MatchedPairs, matched_pairs, segment_differences

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
def test_a_segment_opens_at_an_error_and_closes_after_two_words_both_got_right(first, second, differences):
    """One right word between errors keeps them in one segment, two part them; an insertion starts the count anew."""
    assert segment_differences("a b c d e f g h", first, second) == differences


def test_a_hand_worked_example():
    """Segments of 1, 0 and 2 errors more: mean 1, s 1, Z = 1 / (1 / sqrt 3) = 1.7321, two-tailed p = 0.0833."""
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
    """No segment, one, or all alike say nothing, by the toolkit's convention."""
    outcome = MatchedPairs.of(differences)
    assert (outcome.z, outcome.p) == (0.0, 1.0)


def test_a_system_does_not_differ_from_itself(sample_lists):
    """On real lists with hundreds of errors in common: every segment 0, Z = 0, p = 1."""
    outcome = matched_pairs((n.reference, n.hypotheses[0].transcript, n.hypotheses[0].transcript) for n in sample_lists)
    assert outcome.num_segments > 300
    assert (outcome.mean_difference, outcome.z, outcome.p) == (0.0, 0.0, 1.0)


def test_the_tenth_hypothesis_is_worse_than_the_first(sample_lists):
    """On real lists a difference of hundreds of errors is certain, and points the right way."""
    outcome = matched_pairs(
        (n.reference, n.hypotheses[0].transcript, n.hypotheses[-1].transcript) for n in sample_lists
    )
    assert outcome.mean_difference < 0
    assert outcome.z < -5
    assert outcome.p < 1e-6


@given(st.lists(UTTERANCES, max_size=6))
def test_swapping_the_systems_turns_the_sign(utterances):
    """Z(first, second) = -Z(second, first) over the same segments, and p is the same."""
    one = matched_pairs(utterances)
    other = matched_pairs([(reference, second, first) for reference, first, second in utterances])
    assert one.num_segments == other.num_segments
    assert one.z == pytest.approx(-other.z)
    assert one.p == pytest.approx(other.p)


@given(UTTERANCES)
def test_no_error_is_lost_between_segments(utterance):
    """The segments' differences add up to the utterance's difference in word errors."""
    reference, first, second = utterance
    assert sum(segment_differences(*utterance)) == word_errors(reference, first) - word_errors(reference, second)
