"""Training on real lists with a tiny encoder: it learns, it repeats, and it is the model that will be served."""

from dataclasses import replace

import pytest
import torch

from lorb.formats import read_nbest_lists
from lorb.nbest import Hypothesis, NBest
from lorb_adapters.base import load_base
from lorb_adapters.lora import LoraConfig
from lorb_adapters.model import RescoringModel
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.lists import fit_rank_prior, prepare, score_lists
from lorb_adapters.training.train import DevReport, StepReport, draw_hypotheses, train

CONFIG = TrainConfig(
    lora=LoraConfig(rank=4, alpha=8),
    epochs=1,
    max_steps=6,
    lists_per_step=4,
    evaluations_per_epoch=50,
    patience=0,
)


@pytest.fixture(scope="module")
def base(tiny_bert):
    return load_base(str(tiny_bert))


@pytest.fixture(scope="module")
def model(base):
    return RescoringModel(base)


@pytest.fixture(scope="module")
def lists(base, sample):
    nbests = read_nbest_lists([sample / "train.jsonl.gz"], require_references=True)[:60]
    prepared = prepare(nbests, base.text_encoder, TextNormalization(), uses_context=False)
    return [each for each in prepared if each.has_contrast]


def trained_with(model, lists, config):
    reports = []
    trained = train(model, config, lists[:40], lists[40:], fit_rank_prior(lists), reports.append)
    return trained, reports


def test_the_same_seed_gives_the_same_adapter_and_another_seed_another(model, lists):
    """Two runs agree bit for bit; a third with another seed does not."""
    once, _ = trained_with(model, lists, CONFIG)
    again, _ = trained_with(model, lists, CONFIG)
    other, _ = trained_with(model, lists, replace(CONFIG, seed=1))
    for site, (a, b) in once.weights.lora.items():
        assert torch.equal(a, again.weights.lora[site][0])
        assert torch.equal(b, again.weights.lora[site][1])
    assert any(not torch.equal(a, other.weights.lora[site][0]) for site, (a, _) in once.weights.lora.items())


def test_both_losses_are_reported_apart_at_every_step(model, lists):
    """Each step says its MWER, its correlation and its tokens, and the steps are counted to the end."""
    _, reports = trained_with(model, lists, CONFIG)
    steps = [each for each in reports if isinstance(each, StepReport)]
    assert [each.step for each in steps] == [1, 2, 3, 4, 5, 6]
    assert all(each.num_steps == 6 and each.correlation > 0 and each.num_tokens > 0 for each in steps)
    assert any(isinstance(each, DevReport) and each.is_best for each in reports)


def test_the_adapter_kept_is_the_best_on_dev(model, lists):
    """The weights returned reproduce the dev scores that were best."""
    trained, reports = trained_with(model, lists, CONFIG)
    looks = [each for each in reports if isinstance(each, DevReport)]
    assert min(looks, key=lambda each: each.wer).step == trained.num_steps
    assert list(score_lists(model, trained.weights, lists[40:])) == trained.dev_scores


def test_training_learns_a_rule_that_the_first_pass_gets_wrong(model, base):
    """Lists whose wrong hypothesis always says "zebra" and leads the first pass are mended on unseen lists."""
    nouns = ["man", "old", "day", "house", "time", "hand", "door", "way", "head", "room"]
    nbests = [
        NBest(
            (Hypothesis(f"the {a} zebra {b}", -1.0), Hypothesis(f"the {a} and {b}", -1.5)),
            reference=f"the {a} and {b}",
        )
        for a in nouns
        for b in nouns
    ]
    lists = prepare(nbests, base.text_encoder, TextNormalization(), uses_context=False)
    config = replace(CONFIG, max_steps=40, epochs=4, learning_rate=1e-2, evaluations_per_epoch=1)
    _, reports = trained_with(model, lists[::2] + lists[1::2], config)
    assert min(each.wer for each in reports if isinstance(each, DevReport)) == 0.0


def test_dev_without_gain_stops_the_run(model, lists):
    """With a patience of two looks, a learning rate of almost nothing ends the run early."""
    config = replace(CONFIG, epochs=10, max_steps=None, learning_rate=1e-12, patience=2)
    _, reports = trained_with(model, lists, config)
    looks = [each for each in reports if isinstance(each, DevReport)]
    assert [each.is_best for each in looks] == [True, False, False]


def test_drawn_hypotheses_keep_the_first_pass_best_and_their_errors(lists):
    """A draw is in first-pass order, holds the first, and pairs each row with its own errors."""
    import random

    whole = max(lists, key=lambda each: len(each.rows))
    drawn = draw_hypotheses(whole, 4, random.Random(0))
    assert len(drawn.rows) == 4
    assert drawn.rows[0] == whole.rows[0]
    pairs = list(zip(whole.rows, whole.errors, strict=True))
    places = [pairs.index(pair) for pair in zip(drawn.rows, drawn.errors, strict=True)]
    assert places == sorted(places)
    assert draw_hypotheses(whole, 99, random.Random(0)) is whole


def test_lists_without_scores_train_with_the_rank_prior(model, base, lists):
    """A recogniser that gives no scores can be trained for; the prior orders by rank."""
    unscored = [
        replace(each.nbest, hypotheses=tuple(Hypothesis(h.transcript) for h in each.nbest.hypotheses)) for each in lists
    ]
    prepared = prepare(unscored, base.text_encoder, TextNormalization(), uses_context=False)
    prior = fit_rank_prior(prepared)
    assert list(prior.log_probabilities) == sorted(prior.log_probabilities, reverse=True)
    trained, _ = trained_with(model, prepared, replace(CONFIG, max_steps=2))
    assert trained.num_steps in (1, 2)
