"""The breakdown of a set: its parts add up to the set's figures, and lists are ranked as the server ranks them."""

import random
from dataclasses import replace

import pytest
from msgspec import structs

from lorb.word_errors import word_errors
from lorb_adapters.base.loader import load_base
from lorb_adapters.ranking import Ranking, RankPrior
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.data.encoded_lists import encode_lists
from lorb_adapters.training.data.first_pass import fit_rank_prior
from lorb_adapters.training.evaluation.breakdown import break_down
from lorb_adapters.training.evaluation.calibration import CalibrationChange
from lorb_adapters.training.evaluation.evaluation import evaluate
from lorb_adapters.training.evaluation.tuning import scored_lists, tune_weight, weight_curve

RANKING = Ranking(1.0, 0.7, 0.0, RankPrior((-0.2, -2.0), 1.0, 1.0))


@pytest.fixture(scope="module")
def measured(tiny_bert, sample_dev):
    """Real lists with random scores, which improve some lists and worsen others."""
    encoder = load_base(str(tiny_bert)).text_encoder
    lists = encode_lists(sample_dev, encoder, TextNormalization(), uses_context=False)
    rng = random.Random(0)
    scores = [[rng.gauss(0, 1) for _ in each.rows] for each in lists]
    ranking = replace(RANKING, rank_prior=fit_rank_prior(lists))
    evaluation = evaluate(lists, scores, ranking)
    return lists, scores, ranking, evaluation, break_down(lists, scores, ranking, examples=True)


def test_ranges_of_length_add_up_to_the_set(measured):
    """Utterances, words and errors of all ranges add up to the set's, and every range has at least five utterances."""
    _, _, _, evaluation, detail = measured
    assert sum(each.utterances for each in detail.by_length) == evaluation.num_utterances
    assert sum(each.words for each in detail.by_length) == evaluation.words.sum()
    assert sum(each.first_pass_errors for each in detail.by_length) == evaluation.first_pass.sum()
    assert sum(each.rescored_errors for each in detail.by_length) == evaluation.rescored.sum()
    assert sum(each.oracle_errors for each in detail.by_length) == evaluation.oracle.sum()
    assert len(detail.by_length) > 3
    assert min(each.utterances for each in detail.by_length) >= 5
    assert detail.by_length[-1].last_words is None


def test_depth_goes_from_the_first_pass_to_the_whole_list(measured):
    """Depth 1 has the first pass's errors, full depth the rescored errors; oracle errors never rise with depth."""
    _, _, _, evaluation, detail = measured
    first, last = detail.by_depth[0], detail.by_depth[-1]
    assert (first.hypotheses, first.rescored_errors) == (1, evaluation.first_pass.sum())
    assert first.oracle_errors == evaluation.first_pass.sum()
    assert (last.rescored_errors, last.oracle_errors) == (evaluation.rescored.sum(), evaluation.oracle.sum())
    oracles = [each.oracle_errors for each in detail.by_depth]
    assert oracles == sorted(oracles, reverse=True)


def test_the_reliability_of_a_set_is_its_calibration(measured):
    """One report has one accuracy: the ranges of posteriors and the calibration count and credit the same lists."""
    lists, scores, ranking, _, detail = measured
    calibration = CalibrationChange.of(lists, scores, ranking).after
    assert [(each.lists, each.mean_posterior, each.best_share) for each in detail.by_posterior] == [
        (each.num_lists, each.confidence, each.accuracy) for each in calibration.bins
    ]
    assert sum(each.lists for each in detail.by_posterior) == sum(len(set(each.errors)) > 1 for each in lists)
    for each in detail.by_posterior:
        assert each.low <= each.mean_posterior <= each.high
        assert 0 <= each.best_share <= 1


def test_examples_improved_or_worsened_as_labelled(measured):
    """An improved list has fewer errors than in the first pass and a worsened one more, counted on the texts shown."""
    _, _, _, _, detail = measured
    assert len(detail.improved) == len(detail.worsened) == 8
    assert len({each.id for each in detail.improved}) == 8
    for each in (*detail.improved, *detail.worsened):
        assert word_errors(each.reference, each.first_pass) == each.first_pass_errors
        assert word_errors(each.reference, each.rescored) == each.rescored_errors
        assert (each.rescored_errors < each.first_pass_errors) == (each in detail.improved)


def test_private_texts_are_left_out(measured):
    """Without examples the breakdown holds no text; its figures are the same."""
    lists, scores, ranking, _, detail = measured
    private = break_down(lists, scores, ranking, examples=False)
    assert private == structs.replace(detail, improved=(), worsened=())


def test_a_margin_above_all_leads_keeps_the_first_pass(measured):
    """With a margin that no lead exceeds, every list keeps its first-pass choice, as in the server."""
    lists, scores, ranking, evaluation, _ = measured
    unchanged = break_down(lists, scores, replace(ranking, switching_margin=1e9), examples=True)
    assert {each.rescored_errors for each in unchanged.by_depth} == {evaluation.first_pass.sum()}
    assert unchanged.improved == unchanged.worsened == ()


def test_the_weight_curve_has_its_minimum_at_the_tuned_weight(measured):
    """The curve starts at the first pass's rate at weight 0, and no weight has a lower rate than the tuned one."""
    lists, scores, ranking, evaluation, _ = measured
    ranked = scored_lists(lists, scores, ranking.rank_prior)
    curve = weight_curve(ranked, int(evaluation.words.sum()))
    assert (curve[0].weight, curve[0].wer) == (0.0, evaluation.percent(evaluation.first_pass))
    by_weight = {point.weight: point.wer for point in curve}
    assert by_weight[tune_weight(ranked)] == min(by_weight.values())
