"""Ranking: combined scores, posteriors, copies, margins, minimum Bayes risk, and lists without scores."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb.errors import InvalidAdapter
from lorb.nbest import Hypothesis, NBest
from lorb.ranked import RescoreOptions, Selection
from lorb_adapters.ranking import (
    Ranking,
    RankPrior,
    map_order,
    mbr_order,
    rank,
    rank_by_first_pass,
    rank_single_text,
    softmax,
)

PRIOR = RankPrior((-0.1, -2.0, -3.0), weight=0.5, posterior_scale=2.0)
RANKING = Ranking(weight=2.0, posterior_scale=0.5, switching_margin=0.0, rank_prior=PRIOR)
WITH_PRIOR_MARGIN = replace(RANKING, rank_prior=replace(PRIOR, switching_margin=0.7))
MAP = RescoreOptions()

scores = st.floats(-50, 50)
words = st.sampled_from(["a", "b", "a b", "b a", "a b c", ""])


@st.composite
def scored_lists(draw):
    """Draws a list, with or without first-pass scores, and a rescoring score for each of its distinct texts."""
    transcripts = draw(st.lists(words, min_size=1, max_size=8))
    first = draw(st.one_of(st.none(), st.lists(scores, min_size=len(transcripts), max_size=len(transcripts))))
    nbest = NBest(tuple(Hypothesis(text, None if first is None else first[i]) for i, text in enumerate(transcripts)))
    rescoring = draw(st.lists(scores, min_size=len(nbest.distinct()), max_size=len(nbest.distinct())))
    return nbest, rescoring


def ranked(nbest, rescoring, ranking=RANKING, options=MAP):
    distinct = nbest.distinct()
    return rank(nbest, distinct, rescoring, [False] * len(distinct), ranking, options)


@given(scored_lists(), st.sampled_from(Selection))
def test_the_answer_is_a_permutation_of_the_list(drawn, selection):
    """Each hypothesis is returned once, whatever the scores, and the posteriors add up to one."""
    nbest, rescoring = drawn
    answer = ranked(nbest, rescoring, options=RescoreOptions(selection=selection))
    assert sorted(each.index for each in answer) == list(range(len(nbest.hypotheses)))
    assert sum(each.posterior for each in answer) == pytest.approx(1.0)
    assert all(each.transcript == nbest.hypotheses[each.index].transcript for each in answer)


@given(scored_lists())
def test_copies_of_a_text_follow_it_with_posterior_0(drawn):
    """Equal texts are adjacent; the first has the posterior, its copies have posterior 0 and the same scores."""
    nbest, rescoring = drawn
    texts = [" ".join(each.transcript.split()) for each in ranked(nbest, rescoring)]
    blocks = [text for i, text in enumerate(texts) if i == 0 or text != texts[i - 1]]
    assert len(blocks) == len(set(texts))
    for before, copy in zip(answer := ranked(nbest, rescoring), answer[1:], strict=False):
        if before.transcript == copy.transcript:
            assert copy.posterior == 0.0
            assert copy.combined_score == before.combined_score


@given(scored_lists())
def test_combined_scores_are_the_formula_and_order_the_answer(drawn):
    """Combined = first pass + weight * rescoring; lists without scores use the prior and its own weight."""
    nbest, rescoring = drawn
    weight = 2.0 if nbest.has_scores else 0.5
    first = [d.first_pass_score for d in nbest.distinct()] if nbest.has_scores else PRIOR.scores(len(rescoring))
    expected = {d.positions[0]: f + weight * r for d, f, r in zip(nbest.distinct(), first, rescoring, strict=True)}
    answer = [each for each in ranked(nbest, rescoring) if each.index in expected]
    assert [each.combined_score for each in answer] == sorted(expected.values(), reverse=True)
    for each in answer:
        assert each.combined_score == expected[each.index]


@given(scored_lists())
def test_weight_zero_keeps_the_first_pass_order(drawn):
    """With weight 0 the answer is in first-pass order, ties included."""
    nbest, rescoring = drawn
    answer = ranked(nbest, rescoring, options=RescoreOptions(rescoring_weight=0.0))
    assert [each.index for each in answer] == [each.index for each in rank_by_first_pass(nbest, MAP)]


@given(scored_lists(), st.integers(1, 9))
def test_top_n_is_the_head_of_the_whole_answer(drawn, top_n):
    """`top_n` changes the length of the answer and nothing else."""
    nbest, rescoring = drawn
    assert ranked(nbest, rescoring, options=RescoreOptions(top_n=top_n)) == ranked(nbest, rescoring)[:top_n]


def test_ties_keep_first_pass_order():
    """Equal combined scores keep the recogniser's order."""
    assert map_order([1.0, 2.0, 1.0, 2.0]) == [1, 3, 0, 2]


def test_a_lead_within_the_switching_margin_keeps_the_first_pass():
    """A lead of the margin or less keeps the first pass's best first; the rest is ordered by score."""
    assert map_order([0.0, 1.0, 2.0], switching_margin=2.0) == [0, 2, 1]
    assert map_order([0.0, 1.0, 2.0], switching_margin=1.9) == [2, 1, 0]


def test_lists_without_scores_have_a_margin_of_their_own():
    """The rank prior's margin of 0.7 holds for lists without scores, and the margin of 0 for lists with scores."""
    unscored = NBest((Hypothesis("a"), Hypothesis("b")))
    assert [each.index for each in ranked(unscored, [0.0, 5.0], WITH_PRIOR_MARGIN)] == [0, 1]
    assert [each.index for each in ranked(unscored, [0.0, 5.3], WITH_PRIOR_MARGIN)] == [1, 0]
    scored = NBest((Hypothesis("a", -1.0), Hypothesis("b", -1.5)))
    assert [each.index for each in ranked(scored, [0.0, 0.3], WITH_PRIOR_MARGIN)] == [1, 0]


def test_a_partly_scored_list_ends_in_first_pass_order():
    """With scores for the first k texts, these are ranked; the others keep first-pass order and have no scores."""
    nbest = NBest(tuple(Hypothesis(text, -float(i)) for i, text in enumerate("abcd")))
    answer = rank(nbest, nbest.distinct(), [0.0, 3.0], [False, True], RANKING, MAP)
    assert [each.index for each in answer] == [1, 0, 2, 3]
    assert [each.posterior is None for each in answer] == [False, False, True, True]
    assert [each.truncated for each in answer] == [True, False, False, False]
    assert answer[2].combined_score is None


def test_minimum_bayes_risk_prefers_the_consensus():
    """A text that is close to all the others ranks above the likeliest text."""
    transcripts = ["x y z", "a b c", "a b d", "a b e"]
    combined = [math.log(p) for p in (0.34, 0.22, 0.22, 0.22)]
    assert map_order(combined)[0] == 0
    assert mbr_order(transcripts, combined, softmax(combined))[0] == 1


def test_minimum_bayes_risk_compares_the_32_likeliest():
    """A text that is less likely than 32 others stays behind them."""
    transcripts = [f"w{i}" for i in range(40)]
    combined = [-float(i) for i in range(40)]
    order = mbr_order(transcripts, combined, softmax(combined))
    assert order[32:] == list(range(32, 40))


def test_component_scores_are_returned_unchanged():
    """The components of a first-pass score stay with their hypothesis."""
    nbest = NBest((Hypothesis("a", -1.0, {"lm": -0.5}), Hypothesis("b", -2.0, {"lm": -0.1})))
    assert [each.component_scores for each in ranked(nbest, [0.0, 9.0])] == [{"lm": -0.1}, {"lm": -0.5}]


def test_a_single_text_needs_no_model():
    """A list of copies of one text has posterior 1 and no rescoring score."""
    answer = rank_single_text(NBest((Hypothesis("a", -2.0), Hypothesis("a ", -1.0))), MAP)
    assert [(each.index, each.posterior, each.rescoring_score) for each in answer] == [
        (0, 1.0, None),
        (1, 0.0, None),
    ]


@given(st.integers(1, 40))
def test_the_rank_prior_falls_strictly(count):
    """Each rank has a lower log probability than the one before, beyond the fitted ranks too."""
    values = PRIOR.scores(count)
    assert len(values) == count
    assert all(later < earlier for earlier, later in zip(values, values[1:], strict=False))


@given(st.lists(scores, min_size=1, max_size=10), st.floats(-1e6, 1e6))
def test_softmax_is_shift_invariant_and_safe(logits, shift):
    """Adding a constant changes nothing, and large values do not overflow."""
    shifted = softmax([logit + shift for logit in logits])
    assert shifted == pytest.approx(softmax(logits), abs=1e-6)


def test_ranking_survives_json():
    """The object in a manifest reads back equal."""
    assert Ranking.from_json(WITH_PRIOR_MARGIN.to_json()) == WITH_PRIOR_MARGIN


def test_the_first_manifests_have_no_margin_for_lists_without_scores():
    """A rank prior without a margin has margin 0."""
    written = WITH_PRIOR_MARGIN.to_json()
    del written["rank_prior"]["switching_margin"]
    assert Ranking.from_json(written).rank_prior.switching_margin == 0.0


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("weight", -1.0, "a number from 0"),
        ("weight", "2", "a number"),
        ("posterior_scale", 0.0, "a number above 0"),
        ("posterior_scale", -1, "a number above 0"),
        ("posterior_scale", math.nan, "a number above 0"),
        ("switching_margin", -1.0, "a number from 0"),
        ("switching_margin", math.inf, "a finite number"),
        ("weight", None, "a number"),
    ],
)
@pytest.mark.parametrize("where", ["", "rank_prior."])
def test_a_wrong_number_is_refused_by_name(key, value, allowed, where):
    """A wrong number is an error that names the field and says what is allowed; a posterior scale of 0 is wrong."""
    written = RANKING.to_json()
    (written["rank_prior"] if where else written)[key] = value
    with pytest.raises(InvalidAdapter, match=f"ranking: {where}{key} is .*, not {allowed}$"):
        Ranking.from_json(written)


def test_a_missing_prior_is_refused_by_name():
    """A manifest without a rank prior is an error that names it."""
    with pytest.raises(InvalidAdapter, match="rank_prior"):
        Ranking.from_json({"weight": 1.0, "posterior_scale": 1.0, "switching_margin": 0.0})
