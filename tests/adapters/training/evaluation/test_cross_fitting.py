"""Cross-fitting: noise is not proven, a real gain is, and no fold takes part in its own choices."""

from dataclasses import replace

import numpy as np
import pytest

from lorb.formats import read_nbest_lists
from lorb.nbest import NBest
from lorb_adapters.base.loader import load_base
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.data.encoded_lists import encode_lists
from lorb_adapters.training.data.first_pass import fit_rank_prior
from lorb_adapters.training.evaluation.cross_fitting import cross_fit
from lorb_adapters.training.evaluation.evaluation import evaluate
from lorb_adapters.training.evaluation.folds import fold_numbers, groups_by_id
from lorb_adapters.training.evaluation.tuning import errors_by_weight, scored_lists, tune_ranking
from lorb_adapters.training.publish_decision import is_proven

NUM_NOISE_RUNS = 40


@pytest.fixture(scope="module")
def dev(tiny_bert, sample):
    """The sample's dev lists and the rank prior of its train lists."""
    encoder = load_base(str(tiny_bert)).text_encoder
    dev, train = (
        encode_lists(
            read_nbest_lists([sample / f"{name}.jsonl.gz"], require_references=True), encoder, TextNormalization(),
            uses_context=False,
        )
        for name in ("dev", "train")
    )  # fmt: skip
    return dev, fit_rank_prior(train)


def drawn(lists, seed):
    """Scores of three evaluations that know nothing about the lists."""
    rng = np.random.default_rng(seed)
    return [[rng.standard_normal(len(each.errors)).tolist() for each in lists] for _ in range(3)]


def test_noise_is_not_proven(dev):
    """Of 40 runs with noise as scores, tuning on dev itself proves more than 8, and cross-fitting at most 4."""
    lists, prior = dev
    as_tuned = cross_fitted = 0
    for seed in range(NUM_NOISE_RUNS):
        evaluations = drawn(lists, seed)
        best = min(evaluations, key=lambda each: errors_by_weight(scored_lists(lists, each, prior)).sum(axis=1).min())
        ranking = tune_ranking(lists, best, prior, calibrates=False)
        as_tuned += is_proven(evaluate(lists, best, ranking).figures())
        cross_fitted += is_proven(cross_fit(lists, evaluations, prior).figures)
    assert as_tuned > 8
    assert cross_fitted <= 4


def test_a_real_gain_is_proven(dev):
    """Scores with noise of the size of their signal are proven in spite of two evaluations that know nothing."""
    lists, prior = dev
    evaluations = drawn(lists, 0)
    evaluations[1] = [
        (np.array(noise) - np.array(each.errors)).tolist() for noise, each in zip(evaluations[1], lists, strict=True)
    ]
    assert is_proven(cross_fit(lists, evaluations, prior).figures)


def test_no_fold_takes_part_in_its_own_choices(dev):
    """If the word errors of one speaker change, the choices for that speaker's own lists stay what they were."""
    lists, prior = dev
    groups = groups_by_id([each.nbest.id for each in lists])
    folds = fold_numbers(groups)
    evaluations = drawn(lists, 1)
    reversed_ = [
        replace(each, errors=each.errors[::-1]) if fold == 0 else each for each, fold in zip(lists, folds, strict=True)
    ]
    before, after = (cross_fit(each, evaluations, prior).figures.list_errors for each in (lists, reversed_))
    own = [i for i, fold in enumerate(folds) if fold == 0]
    assert [before[i] for i in own] == [after[i] for i in own]
    assert before != after


def test_a_single_list_keeps_its_first_pass(dev):
    """With nothing else to choose on, nothing is chosen, so that one lucky list proves nothing."""
    lists, prior = dev
    one = next(each for each in lists if min(each.errors) < each.errors[0])
    fitted = cross_fit([one], [[[-float(errors) for errors in one.errors]]], prior)
    assert fitted.figures.rescored_wer == fitted.figures.first_pass_wer
    assert not is_proven(fitted.figures)


def test_lists_without_scores_are_ranked_as_such(dev, tiny_bert):
    """A dev set without first-pass scores is cross-fitted with the rank prior's own weight and margin."""
    lists, prior = dev
    bare = encode_lists(
        [_without_scores(each.nbest) for each in lists], load_base(str(tiny_bert)).text_encoder, TextNormalization(),
        uses_context=False,
    )  # fmt: skip
    scores = [[-float(errors) for errors in each.errors] for each in bare]
    figures = cross_fit(bare, [scores], prior).figures
    assert figures.rescored_wer < figures.first_pass_wer
    assert is_proven(figures)


def _without_scores(nbest: NBest) -> NBest:
    return replace(nbest, hypotheses=tuple(replace(each, first_pass_score=None) for each in nbest.hypotheses))
