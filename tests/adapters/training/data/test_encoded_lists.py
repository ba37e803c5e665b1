"""Lists made ready: distinct, encoded, with their errors, and with the reference where training asks for it."""

import pytest

from lorb.nbest import Hypothesis, NBest
from lorb_adapters.base.loader import load_base
from lorb_adapters.model import RescoringModel
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.data.encoded_lists import encode_lists
from lorb_adapters.training.data.first_pass import fit_rank_prior
from lorb_adapters.training.methods.scoring import score_lists
from support.adapters.publications import random_weights

PLAIN = TextNormalization()


@pytest.fixture(scope="module")
def base(tiny_bert):
    return load_base(str(tiny_bert))


def prepared(base, reference, *transcripts, uses_references=False):
    hypotheses = tuple(Hypothesis(text, -float(i)) for i, text in enumerate(transcripts))
    nbest = NBest(hypotheses, reference=reference)
    [each] = encode_lists([nbest], base.text_encoder, PLAIN, uses_context=False, uses_references=uses_references)
    return each


def test_errors_are_counted_for_each_distinct_text(base):
    """Copies are one row; errors are word errors against the reference."""
    each = prepared(base, "a b c", "a b", "a  b", "a b c", "x")
    assert len(each.rows) == 3
    assert each.errors == (1, 0, 3)
    assert each.num_words == 3


def test_a_list_of_equal_errors_has_no_contrast(base):
    """Nothing can be learned from hypotheses that are all equally wrong, unless the reference stands beside them."""
    assert not prepared(base, "a b", "a c", "a d").has_contrast
    assert prepared(base, "a b", "a c", "a d", uses_references=True).has_contrast
    assert prepared(base, "a b", "a b", "a d").has_contrast


def test_the_reference_joins_as_an_errorless_hypothesis_the_first_pass_likes(base):
    """It comes last, with no errors and the best first-pass score, encoded as any hypothesis is."""
    each = prepared(base, "the old man", "the man", "old man", uses_references=True).with_reference()
    assert each.errors == (1, 1, 0)
    assert each.distinct[-1].first_pass_score == 0.0
    [row] = base.text_encoder.encode(["the old man"], "", PLAIN, uses_context=False)
    assert each.rows[-1] == row
    assert each.with_reference() is each


def test_a_reference_among_the_hypotheses_is_not_added_again(base):
    """Where a hypothesis is right already the list stays as it is."""
    each = prepared(base, "the old man", "the man", "the  old man", uses_references=True)
    assert each.reference_row is None
    assert each.with_reference() is each


def test_scores_come_back_list_by_list(base):
    """Scoring many lists in shared passes gives each its own scores, in order, and none for a reference."""
    lists = [prepared(base, "a", *("the man", "old door", "day")[: 1 + i % 3], uses_references=True) for i in range(7)]
    model, weights = RescoringModel(base), random_weights(base, head_kind="sum")
    together = list(score_lists(model, weights, lists))
    assert [len(scores) for scores in together] == [len(each.rows) for each in lists]
    for scores, each in zip(together, lists, strict=True):
        [alone] = score_lists(model, weights, [each])
        assert scores == pytest.approx(alone, rel=1e-5, abs=1e-5)


def test_the_rank_prior_is_the_smoothed_share_of_best_ranks(base):
    """Add-one shares of the rank that is best, made never to rise."""
    lists = [prepared(base, "a", "a", "b", "c")] * 6 + [prepared(base, "c", "a", "b", "c")] * 3
    prior = fit_rank_prior(lists)
    import math

    assert [math.exp(log) for log in prior.log_probabilities] == pytest.approx([7 / 12, 1 / 12, 1 / 12])
