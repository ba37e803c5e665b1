"""Evaluation: pooled rates, the oracle gap closed, and ranking by the weights of each kind of list."""

from dataclasses import replace

import jiwer
import numpy as np
import pytest

from lorb_adapters.base.loader import load_base
from lorb_adapters.ranking import Ranking
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.data.encoded_lists import encode_lists
from lorb_adapters.training.data.first_pass import fit_rank_prior
from lorb_adapters.training.evaluation.evaluation import Evaluation, evaluate
from lorb_adapters.training.evaluation.tuning import tune_ranking


def evaluation_of(first_pass, rescored, oracle, words):
    return Evaluation(np.array(words), np.array(first_pass), np.array(rescored), np.array(oracle))


def test_rates_are_pooled_and_the_gap_is_a_share():
    """Rates are total errors over total words; one error less of a gap of three closes a third of it."""
    evaluation = evaluation_of([4, 0], [2, 1], [1, 0], [10, 10])
    assert evaluation.percent(evaluation.first_pass) == 20.0
    figures = evaluation.figures()
    assert figures.rescored_wer == 15.0
    assert figures.oracle_gap_closed_percent == pytest.approx(100 / 3)
    assert (figures.lists_improved, figures.lists_worsened) == (1, 1)


def test_first_pass_and_oracle_equal_jiwers(tiny_bert, sample_dev):
    """On real lists the rates of the first pass and of the best hypotheses equal jiwer's."""
    encoder = load_base(str(tiny_bert)).text_encoder
    lists = encode_lists(sample_dev, encoder, TextNormalization(), uses_context=False)
    evaluation = evaluate(
        lists, [[0.0] * len(each.rows) for each in lists], Ranking(1.0, 1.0, 0.0, fit_rank_prior(lists))
    )
    references = [nbest.reference for nbest in sample_dev]
    expected = 100 * jiwer.wer(references, [nbest.hypotheses[0].transcript for nbest in sample_dev])
    assert evaluation.percent(evaluation.first_pass) == pytest.approx(expected)
    assert np.array_equal(evaluation.rescored, evaluation.first_pass)
    best = [
        min(
            (h.transcript for h in nbest.hypotheses),
            key=lambda text: round(jiwer.wer(nbest.reference, text) * 1000),
        )
        for nbest in sample_dev
    ]
    assert evaluation.percent(evaluation.oracle) == pytest.approx(100 * jiwer.wer(references, best))


def test_figures_are_given_with_and_without_the_margin(tiny_bert, sample_dev):
    """A margin above all leads keeps the first pass; the figures without it are those of margin 0; MAPSSWE agrees."""
    lists = encode_lists(sample_dev, load_base(str(tiny_bert)).text_encoder, TextNormalization(), uses_context=False)
    scores = [[-float(errors) for errors in each.errors] for each in lists]
    without, large = (
        evaluate(lists, scores, Ranking(8.0, 1.0, margin, fit_rank_prior(lists))) for margin in (0.0, 1e6)
    )
    assert np.array_equal(large.rescored, large.first_pass)
    assert np.array_equal(large.without_margin, without.rescored)
    figures = large.figures()
    assert (figures.lists_improved, figures.mapsswe.z) == (0, 0.0)
    assert figures.without_margin.lists_improved == without.figures().lists_improved > 50
    assert figures.without_margin.rescored_wer == without.figures().rescored_wer
    assert without.mapsswe.z > 5
    saved = without.mapsswe.mean_difference * without.mapsswe.num_segments
    assert saved == pytest.approx(without.first_pass.sum() - without.rescored.sum())


def without_scores(nbest):
    return replace(nbest, hypotheses=tuple(replace(each, first_pass_score=None) for each in nbest.hypotheses))


def test_lists_with_and_without_scores_have_their_own_weights(tiny_bert, sample_dev):
    """Lists with scores are ranked with the ranking's weight, and lists without with the rank prior's."""
    mixed = [*sample_dev[:40], *map(without_scores, sample_dev[40:])]
    lists = encode_lists(mixed, load_base(str(tiny_bert)).text_encoder, TextNormalization(), uses_context=False)
    scores = [[-float(errors) for errors in each.errors] for each in lists]
    prior = fit_rank_prior(lists)
    by_kind = Ranking(1e3, 1.0, 0.0, replace(prior, weight=0.0))
    evaluation = evaluate(lists, scores, by_kind)
    assert np.array_equal(evaluation.rescored[:40], evaluation.oracle[:40])
    assert np.array_equal(evaluation.rescored[40:], evaluation.first_pass[40:])
    assert np.array_equal(evaluation.without_margin, evaluation.rescored)
    swapped = evaluate(lists, scores, Ranking(0.0, 1.0, 0.0, replace(prior, weight=1e3)))
    assert np.array_equal(swapped.rescored[:40], evaluation.first_pass[:40])
    assert np.array_equal(swapped.rescored[40:], evaluation.oracle[40:])


def test_the_weight_for_scores_is_tuned_on_lists_that_have_them(tiny_bert, sample_dev):
    """Lists without scores change the tuning of the rank prior, but not that for lists with scores."""
    encoder = load_base(str(tiny_bert)).text_encoder
    lists = encode_lists(sample_dev, encoder, TextNormalization(), uses_context=False)
    hidden = encode_lists(map(without_scores, sample_dev), encoder, TextNormalization(), uses_context=False)
    scores = [[-0.3 * errors for errors in each.errors] for each in lists]
    misleading = [[float(errors) for errors in each.errors] for each in hidden]
    prior = fit_rank_prior(lists)
    alone, together = (
        tune_ranking(lists, scores, prior),
        tune_ranking([*hidden, *lists], [*misleading, *scores], prior),
    )
    assert alone.weight > 0
    assert replace(together, rank_prior=alone.rank_prior) == alone
    assert together.rank_prior.weight < alone.rank_prior.weight
