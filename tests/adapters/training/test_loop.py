"""Training on real lists with a tiny encoder: it learns, it repeats, and it is the model that will be served."""

from dataclasses import replace

import pytest
import torch

from lorb.errors import InvalidInput
from lorb.formats import read_nbest_lists
from lorb.nbest import Hypothesis, NBest
from lorb_adapters.base.loader import load_base
from lorb_adapters.lora.config import LoraConfig
from lorb_adapters.model import RescoringModel
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.batches import sample_hypotheses
from lorb_adapters.training.checkpoint import DevEvaluation, StepReport, TrainingState
from lorb_adapters.training.config import METHODS, TrainConfig
from lorb_adapters.training.data.encoded_lists import encode_lists
from lorb_adapters.training.data.first_pass import fit_rank_prior
from lorb_adapters.training.loop import train
from lorb_adapters.training.methods import make_method
from lorb_adapters.training.methods.scoring import score_lists

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
def lists(base, sample):
    nbests = read_nbest_lists([sample / "train.jsonl.gz"], require_references=True)[:60]
    prepared = encode_lists(nbests, base.text_encoder, TextNormalization(), uses_context=False)
    return [each for each in prepared if each.has_contrast]


def trained_with(base, lists, config, **more):
    reports = []
    method = make_method(base, config)
    trained = train(method, config, lists[:40], lists[40:], fit_rank_prior(lists), reports.append, **more)
    return trained, reports


def test_the_same_seed_gives_the_same_adapter_and_another_seed_another(base, lists):
    """Two runs agree bit for bit; a third with another seed does not."""
    once, _ = trained_with(base, lists, CONFIG)
    again, _ = trained_with(base, lists, CONFIG)
    other, _ = trained_with(base, lists, replace(CONFIG, seed=1))
    for site, (a, b) in once.weights.lora.items():
        assert torch.equal(a, again.weights.lora[site][0])
        assert torch.equal(b, again.weights.lora[site][1])
    assert any(not torch.equal(a, other.weights.lora[site][0]) for site, (a, _) in once.weights.lora.items())


def test_all_losses_are_reported_apart_at_every_step(base, lists):
    """Each step says its MWER, its correlation, their weighted sum and its tokens, counted to the end."""
    _, reports = trained_with(base, lists, CONFIG)
    steps = [each for each in reports if isinstance(each, StepReport)]
    assert [each.step for each in steps] == [1, 2, 3, 4, 5, 6]
    assert all(each.num_steps == 6 and each.losses["correlation"] > 0 and each.num_tokens > 0 for each in steps)
    for each in steps:
        weighted = each.losses["mwer"] + CONFIG.correlation_weight * each.losses["correlation"]
        assert each.total == pytest.approx(weighted, rel=1e-5)
    assert any(isinstance(each, DevEvaluation) and each.is_best for each in reports)


def test_the_adapter_kept_is_the_best_on_dev(base, lists):
    """The weights returned reproduce the dev scores that were best."""
    trained, reports = trained_with(base, lists, CONFIG)
    looks = [each for each in reports if isinstance(each, DevEvaluation)]
    assert min(looks, key=lambda each: each.wer).step == trained.num_steps
    assert list(score_lists(RescoringModel(base), trained.weights, lists[40:])) == trained.dev_scores


def test_training_learns_a_rule_that_the_first_pass_gets_wrong(base):
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
    lists = encode_lists(nbests, base.text_encoder, TextNormalization(), uses_context=False)
    config = replace(CONFIG, max_steps=40, epochs=4, learning_rate=1e-2, evaluations_per_epoch=1)
    _, reports = trained_with(base, lists[::2] + lists[1::2], config)
    assert min(each.wer for each in reports if isinstance(each, DevEvaluation)) == 0.0


def test_dev_without_gain_stops_the_run(base, lists):
    """With a patience of two looks, a learning rate of almost nothing ends the run early."""
    config = replace(CONFIG, epochs=10, max_steps=None, learning_rate=1e-12, patience=2)
    _, reports = trained_with(base, lists, config)
    looks = [each for each in reports if isinstance(each, DevEvaluation)]
    assert [each.is_best for each in looks] == [True, False, False]


def test_drawn_hypotheses_keep_the_first_pass_best_and_their_errors(lists):
    """A draw is in first-pass order, holds the first, and pairs each row with its own errors."""
    import random

    whole = max(lists, key=lambda each: len(each.rows))
    drawn = sample_hypotheses(whole, 4, random.Random(0))
    assert len(drawn.rows) == 4
    assert drawn.rows[0] == whole.rows[0]
    pairs = list(zip(whole.rows, whole.errors, strict=True))
    places = [pairs.index(pair) for pair in zip(drawn.rows, drawn.errors, strict=True)]
    assert places == sorted(places)
    assert sample_hypotheses(whole, 99, random.Random(0)) is whole


def test_lists_without_scores_train_with_the_rank_prior(base, lists):
    """A recogniser that gives no scores can be trained for; the prior orders by rank."""
    unscored = [
        replace(each.nbest, hypotheses=tuple(Hypothesis(h.transcript) for h in each.nbest.hypotheses)) for each in lists
    ]
    prepared = encode_lists(unscored, base.text_encoder, TextNormalization(), uses_context=False)
    prior = fit_rank_prior(prepared)
    assert list(prior.log_probabilities) == sorted(prior.log_probabilities, reverse=True)
    trained, _ = trained_with(base, prepared, replace(CONFIG, max_steps=2))
    assert trained.num_steps in (1, 2)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


EVERYTHING = replace(
    CONFIG, dropout=0.1, r_drop_weight=0.5, ema_decay=0.9, lora=LoraConfig(rank=4, layers=(1,)), loss="mwed"
)


@pytest.mark.parametrize("stop", [1, 2, 3, 5, 6])
def test_going_on_from_any_step_ends_the_same_to_the_bit(base, lists, stop):
    """A state taken after each step, written and read again, leads to the same adapter, scores and course."""
    config = replace(EVERYTHING, evaluations_per_epoch=5)
    kept = {}

    def keep(state):
        kept[state.step] = state.to_bytes()

    whole, reports = trained_with(base, lists, config, keep=keep, checkpoint_seconds=0)
    state = TrainingState.from_bytes(kept[stop], "here")
    rest, later = trained_with(base, lists, config, state=state)
    assert same(rest.tensors, whole.tensors)
    assert rest.dev_scores == whole.dev_scores
    assert later == reports[len(reports) - len(later) :]
    assert state.steps + state.evaluations == [
        *(each for each in reports if isinstance(each, StepReport)),
        *(each for each in reports if isinstance(each, DevEvaluation)),
    ]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_goes_on_to_the_same_bits(tiny_bert, lists, name):
    """Also those that write into the base: what is restored into a fresh one goes on as if it had never stopped."""
    config = replace(CONFIG, method=name, max_steps=4, ema_decay=0.5, learning_rate=1e-2)
    kept = {}

    def keep(state):
        kept[state.step] = state.to_bytes()

    whole, _ = trained_with(load_base(str(tiny_bert)), lists, config, keep=keep)
    state = TrainingState.from_bytes(kept[2], "here")
    rest, _ = trained_with(load_base(str(tiny_bert)), lists, config, state=state)
    assert same(rest.tensors, whole.tensors)
    assert rest.dev_scores == whole.dev_scores


def test_checkpoints_come_after_looks_and_when_it_is_time(base, lists):
    """At a second a step and a checkpoint every two seconds: after steps 2, 3 (a look), 5 and 6 (the last look)."""
    seconds = iter(range(1000))
    now = 0

    def clock():
        return now

    def report(each):
        nonlocal now
        if isinstance(each, StepReport):
            now = next(seconds) + 1

    kept = []
    config = replace(CONFIG, evaluations_per_epoch=3)
    method = make_method(base, config)

    def keep(state):
        kept.append(state.step)

    prior = fit_rank_prior(lists)
    train(method, config, lists[:40], lists[40:], prior, report, keep=keep, checkpoint_seconds=2, clock=clock)
    assert kept == [2, 3, 5, 6]


def test_a_moving_average_is_what_is_kept(base, lists):
    """With a decay, dev judges the average: it lags behind the values and is smoother than they are."""
    plain, _ = trained_with(base, lists, CONFIG)
    averaged, _ = trained_with(base, lists, replace(CONFIG, ema_decay=0.99))
    assert averaged.weights.head.weight.norm() < plain.weights.head.weight.norm()


def test_a_learning_rate_that_explodes_is_one_line(base, lists):
    """Gradients that are not finite end the run by name; nothing is kept of them."""
    with pytest.raises(InvalidInput, match=r"gradient of step \d+ is not finite"):
        trained_with(base, lists, replace(CONFIG, learning_rate=1e30))


def test_one_row_per_list_is_what_the_regulariser_reads(base, lists):
    """Fewer rows give a higher floor: sqrt(d^2 / (B - 1) - d) for independent rows."""
    _, all_rows = trained_with(base, lists, replace(CONFIG, max_steps=1))
    _, one_each = trained_with(base, lists, replace(CONFIG, max_steps=1, correlation_rows="one-per-list"))
    assert one_each[0].losses["correlation"] > all_rows[0].losses["correlation"]
    assert one_each[0].losses["mwer"] == all_rows[0].losses["mwer"]
