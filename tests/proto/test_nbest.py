"""lorb.nbest: invalid lists are refused, and equal texts are merged."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb.errors import InvalidInput
from lorb.nbest import Hypothesis, NBest

SCORES = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.sampled_from(["", " ", "a", "b", "a b", " a  b ", "c"])


def scored(*pairs):
    """Makes a list from (text, score) pairs."""
    return NBest(tuple(Hypothesis(text, score) for text, score in pairs))


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_refused(score):
    """A first-pass score that is NaN or infinite is refused with its field."""
    with pytest.raises(InvalidInput) as caught:
        Hypothesis("a", score)
    assert caught.value.field == "first_pass_score"


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_component_score_that_is_not_finite_is_refused(score):
    """A component score that is NaN or infinite is refused with its name."""
    with pytest.raises(InvalidInput) as caught:
        Hypothesis("a", -1.0, {"lm": score})
    assert caught.value.field == "component_scores"
    assert "'lm'" in caught.value.message


def test_a_list_without_hypotheses_is_refused():
    """An empty list is refused."""
    with pytest.raises(InvalidInput) as caught:
        NBest(())
    assert caught.value.field == "hypotheses"


def test_a_list_scored_in_part_is_refused_at_the_first_gap():
    """A list with scores on some hypotheses is refused with the first hypothesis that lacks one."""
    with pytest.raises(InvalidInput) as caught:
        scored(("a", -1.0), ("b", None), ("c", None))
    assert caught.value.field == "hypotheses[1].first_pass_score"


def test_empty_transcripts_are_legal():
    """An empty transcript is accepted."""
    assert scored(("", -1.0)).hypotheses[0].transcript == ""


def test_limits_name_the_field_that_breaks_them():
    """Too many hypotheses, a long transcript and a long context are each refused with their field."""
    nbest = NBest((Hypothesis("a"), Hypothesis("bb")), context="ccc")
    nbest.check_limits(max_hypotheses=2, max_transcript_chars=3)
    fields = []
    for max_hypotheses, max_chars in ((1, 3), (2, 1), (2, 2)):
        with pytest.raises(InvalidInput) as caught:
            nbest.check_limits(max_hypotheses=max_hypotheses, max_transcript_chars=max_chars)
        fields.append(caught.value.field)
    assert fields == ["hypotheses", "hypotheses[1].transcript", "context"]


def test_a_hypothesis_has_at_most_64_component_scores():
    """A hypothesis with 64 component scores is within the limits; one with 65 is refused with its field."""

    def check(count):
        components = {f"part-{i}": -1.0 for i in range(count)}
        nbest = NBest((Hypothesis("a"), Hypothesis("b", component_scores=components)))
        nbest.check_limits(max_hypotheses=2, max_transcript_chars=3)

    check(64)
    with pytest.raises(InvalidInput, match="has 65 entries: send at most 64") as caught:
        check(65)
    assert caught.value.field == "hypotheses[1].component_scores"


def test_copies_are_one_hypothesis_with_their_best_score():
    """Texts that differ only in white space are merged, with the highest of their scores."""
    distinct = scored(("a b", -3.0), ("c", -2.0), (" a  b", -1.0)).distinct()
    assert [(each.transcript, each.first_pass_score, each.positions) for each in distinct] == [
        ("a b", -1.0, (0, 2)),
        ("c", -2.0, (1,)),
    ]


def test_a_list_without_scores_keeps_its_order():
    """Distinct texts of a list without scores keep the order of the list."""
    assert [each.transcript for each in scored(("b", None), ("a", None), ("b", None)).distinct()] == [
        "b",
        "a",
    ]


@given(st.lists(st.tuples(TEXTS, SCORES), min_size=1, max_size=12))
def test_distinct_covers_every_position_once_in_order_of_score(pairs):
    """Distinct texts cover each position once, in descending order of score, with ties in list order."""
    distinct = scored(*pairs).distinct()
    assert sorted(i for each in distinct for i in each.positions) == list(range(len(pairs)))
    keys = [(-each.first_pass_score, each.positions[0]) for each in distinct]
    assert keys == sorted(keys)
    assert len({" ".join(each.transcript.split()) for each in distinct}) == len(distinct)


def test_real_lists_have_no_copies(sample_lists):
    """The LibriSpeech sample, merged when it was made, has as many distinct texts as hypotheses."""
    assert all(len(nbest.distinct()) == len(nbest.hypotheses) for nbest in sample_lists)


@pytest.mark.parametrize(
    ("pairs", "text"),
    [
        ([("a", -2.0), ("b", -1.0)], "b"),
        ([("a", -1.0), ("b", -1.0)], "a"),
        ([("b", None), ("a", None)], "b"),
        ([("a", -3.0), ("b", -2.0), (" a", -1.0)], "a"),
        ([("a", 0.0), (" a ", 0.0)], "a"),
    ],
)
def test_the_first_pass_is_the_best_by_score(pairs, text):
    """The first pass has the highest score, the first of equal ones, or stands first in a list without scores."""
    assert scored(*pairs).first_pass_text == text
