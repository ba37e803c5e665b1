"""A set's detail: its parts add up to the whole, and what is counted is what the server would answer."""

import random
from dataclasses import replace

import pytest

from lorb.word_errors import word_errors
from lorb_adapters.base.loader import load_base
from lorb_adapters.ranking import Ranking, RankPrior
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.data.encoded_lists import fit_rank_prior, prepare
from lorb_adapters.training.evaluation.diagnosis import diagnose, weight_curve
from lorb_adapters.training.evaluation.evaluation import evaluate
from lorb_adapters.training.evaluation.tuning import scored, tune_weight

RANKING = Ranking(1.0, 0.7, 0.0, RankPrior((-0.2, -2.0), 1.0, 1.0))


@pytest.fixture(scope="module")
def measured(tiny_bert, sample_dev):
    """Real lists with scores at random, which fix some and break others."""
    encoder = load_base(str(tiny_bert)).text_encoder
    lists = prepare(sample_dev, encoder, TextNormalization(), uses_context=False)
    rng = random.Random(0)
    scores = [[rng.gauss(0, 1) for _ in each.rows] for each in lists]
    ranking = replace(RANKING, rank_prior=fit_rank_prior(lists))
    evaluation = evaluate(lists, scores, ranking)
    return lists, scores, ranking, evaluation, diagnose(lists, scores, ranking, evaluation, examples=True)


def test_ranges_of_length_add_up_to_the_set(measured):
    """Utterances, words and errors of all ranges are those of the set, and none is too small to say anything."""
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
    """One hypothesis scored is the first pass; all of them the rescored set; the oracle never loses by depth."""
    _, _, _, evaluation, detail = measured
    first, last = detail.by_depth[0], detail.by_depth[-1]
    assert (first.hypotheses, first.rescored_errors) == (1, evaluation.first_pass.sum())
    assert first.oracle_errors == evaluation.first_pass.sum()
    assert (last.rescored_errors, last.oracle_errors) == (evaluation.rescored.sum(), evaluation.oracle.sum())
    oracles = [each.oracle_errors for each in detail.by_depth]
    assert oracles == sorted(oracles, reverse=True)


def test_posteriors_fall_into_their_ranges(measured):
    """Every list of two texts or more is counted once, by a posterior that lies in its range."""
    lists, _, _, _, detail = measured
    assert sum(each.lists for each in detail.by_posterior) == sum(len(each.errors) > 1 for each in lists)
    for each in detail.by_posterior:
        assert each.low <= each.mean_posterior <= each.high
        assert 0 <= each.best_share <= 1


def test_examples_are_what_they_are_called(measured):
    """A fixed list has fewer errors than before and a broken one more, counted on the texts that are shown."""
    _, _, _, _, detail = measured
    assert len(detail.fixed) == len(detail.broken) == 8
    assert len({each.id for each in detail.fixed}) == 8
    for each in (*detail.fixed, *detail.broken):
        assert word_errors(each.reference, each.first_pass) == each.first_pass_errors
        assert word_errors(each.reference, each.rescored) == each.rescored_errors
        assert (each.rescored_errors < each.first_pass_errors) == (each in detail.fixed)


def test_private_texts_stay_out(measured):
    """Without examples the detail holds no text, and all its figures."""
    lists, scores, ranking, evaluation, detail = measured
    private = diagnose(lists, scores, ranking, evaluation, examples=False)
    assert private == replace(detail, fixed=(), broken=())


def test_a_margin_that_nothing_crosses_is_the_first_pass(measured):
    """Ranking is the server's, its switching margin too."""
    lists, scores, ranking, evaluation, _ = measured
    kept = diagnose(lists, scores, replace(ranking, switching_margin=1e9), evaluation, examples=True)
    assert {each.rescored_errors for each in kept.by_depth} == {evaluation.first_pass.sum()}
    assert kept.fixed == kept.broken == ()


def test_the_weight_curve_begins_at_the_first_pass_and_dips_at_the_tuned_weight(measured):
    """Weight 0 is the first pass; no other weight on the curve has a lower rate than the tuned one."""
    lists, scores, ranking, evaluation, _ = measured
    ranked = scored(lists, scores, ranking.rank_prior)
    curve = weight_curve(ranked, int(evaluation.words.sum()))
    assert (curve[0].weight, curve[0].wer) == (0.0, evaluation.percent(evaluation.first_pass))
    by_weight = {point.weight: point.wer for point in curve}
    assert by_weight[tune_weight(ranked)] == min(by_weight.values())
