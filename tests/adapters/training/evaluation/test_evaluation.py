"""Evaluation: pooled rates, recovered gap, and a bootstrap that pairs."""

from dataclasses import replace

import jiwer
import numpy as np
import pytest

from lorb_adapters.base.loader import load_base
from lorb_adapters.ranking import Ranking
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.data.encoded_lists import fit_rank_prior, prepare
from lorb_adapters.training.evaluation.evaluation import Evaluation, evaluate
from lorb_adapters.training.evaluation.tuning import tune_ranking


def made(first_pass, rescored, oracle, words):
    return Evaluation(np.array(words), np.array(first_pass), np.array(rescored), np.array(oracle))


def test_rates_are_pooled_and_the_gap_is_a_share():
    """Errors are summed over words summed; half of the way to the oracle is 50%."""
    evaluation = made([4, 0], [2, 1], [1, 0], [10, 10])
    assert evaluation.percent(evaluation.first_pass) == 20.0
    figures = evaluation.to_json()
    assert figures["rescored_wer"] == 15.0
    assert figures["recovered_gap_percent"] == pytest.approx(100 / 3)
    assert (figures["lists_fixed"], figures["lists_broken"]) == (1, 1)


def test_first_pass_and_oracle_are_jiwers(tiny_bert, sample_dev):
    """On real lists the first pass's rate is what jiwer computes, and the oracle's that of the best hypotheses."""
    encoder = load_base(str(tiny_bert)).text_encoder
    lists = prepare(sample_dev, encoder, TextNormalization(), uses_context=False)
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


def test_the_margin_is_told_with_and_without(tiny_bert, sample_dev):
    """A margin that no lead reaches leaves the first pass; beside it stands what would be without; MAPSSWE agrees."""
    lists = prepare(sample_dev, load_base(str(tiny_bert)).text_encoder, TextNormalization(), uses_context=False)
    scores = [[-float(errors) for errors in each.errors] for each in lists]
    bold, careful = (evaluate(lists, scores, Ranking(8.0, 1.0, margin, fit_rank_prior(lists))) for margin in (0.0, 1e6))
    assert np.array_equal(careful.rescored, careful.first_pass)
    assert np.array_equal(careful.without_margin, bold.rescored)
    figures = careful.to_json()
    assert (figures["lists_fixed"], figures["mapsswe"]["z"]) == (0, 0.0)
    assert figures["without_switching_margin"]["lists_fixed"] == bold.to_json()["lists_fixed"] > 50
    assert figures["without_switching_margin"]["rescored_wer"] == bold.to_json()["rescored_wer"]
    assert bold.matched_pairs.z > 5
    saved = bold.matched_pairs.mean_difference * bold.matched_pairs.num_segments
    assert saved == pytest.approx(bold.first_pass.sum() - bold.rescored.sum())


def without_scores(nbest):
    return replace(nbest, hypotheses=tuple(replace(each, first_pass_score=None) for each in nbest.hypotheses))


def test_each_list_is_ranked_by_what_was_tuned_for_its_kind(tiny_bert, sample_dev):
    """Weight 0 for lists without scores keeps their first pass; beside them the others find their best."""
    mixed = [*sample_dev[:40], *map(without_scores, sample_dev[40:])]
    lists = prepare(mixed, load_base(str(tiny_bert)).text_encoder, TextNormalization(), uses_context=False)
    scores = [[-float(errors) for errors in each.errors] for each in lists]
    prior = fit_rank_prior(lists)
    by_kind = Ranking(1e3, 1.0, 0.0, replace(prior, weight=0.0))
    evaluation = evaluate(lists, scores, by_kind)
    assert np.array_equal(evaluation.rescored[:40], evaluation.oracle[:40])
    assert np.array_equal(evaluation.rescored[40:], evaluation.first_pass[40:])
    assert np.array_equal(evaluation.without_margin, evaluation.rescored)
    other_way_round = evaluate(lists, scores, Ranking(0.0, 1.0, 0.0, replace(prior, weight=1e3)))
    assert np.array_equal(other_way_round.rescored[:40], evaluation.first_pass[:40])
    assert np.array_equal(other_way_round.rescored[40:], evaluation.oracle[40:])


def test_the_weight_for_scores_is_tuned_on_lists_that_have_them(tiny_bert, sample_dev):
    """Lists without scores that come along change the rank prior's tuning, not that for lists with scores."""
    encoder = load_base(str(tiny_bert)).text_encoder
    lists = prepare(sample_dev, encoder, TextNormalization(), uses_context=False)
    hidden = prepare(map(without_scores, sample_dev), encoder, TextNormalization(), uses_context=False)
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


def test_the_bootstrap_is_certain_of_what_is_certain():
    """Better everywhere gives 1, worse everywhere 0, equal 0 with an interval of nothing."""
    words = [10] * 50
    assert made([2] * 50, [1] * 50, [0] * 50, words).bootstrap().probability_of_improvement == 1.0
    assert made([1] * 50, [2] * 50, [0] * 50, words).bootstrap().probability_of_improvement == 0.0
    equal = made([1] * 50, [1] * 50, [0] * 50, words).bootstrap()
    assert (equal.low, equal.high, equal.probability_of_improvement) == (0.0, 0.0, 0.0)


def test_the_bootstrap_pairs_utterances():
    """A small gain on every list is certain although lists differ widely: unpaired resampling could not see it."""
    rng = np.random.default_rng(0)
    first_pass = rng.integers(1, 30, 200)
    bootstrap = made(first_pass, first_pass - 1, first_pass * 0, [30] * 200).bootstrap()
    assert bootstrap.probability_of_improvement == 1.0
    assert bootstrap.low == pytest.approx(bootstrap.high)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """Of 95% intervals on fresh samples with a known mean change, about 95 in 100 hold it."""
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(40):
        first_pass, rescored = rng.poisson(2.0, 150), rng.poisson(1.8, 150)
        interval = made(first_pass, rescored, first_pass * 0, [10] * 150).bootstrap()
        covered += interval.low <= -2.0 <= interval.high
    assert covered >= 33
