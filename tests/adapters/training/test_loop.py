"""The training loop on real lists with a tiny encoder: it learns, repeats, resumes and checkpoints."""

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


def train_lora(base, lists, config, **more):
    reports = []
    method = make_method(base, config)
    trained = train(method, config, lists[:40], lists[40:], fit_rank_prior(lists), reports.append, **more)
    return trained, reports


def test_equal_seeds_give_equal_adapters(base, lists):
    """Two runs with one seed agree to the bit; a third with another seed differs."""
    first, _ = train_lora(base, lists, CONFIG)
    second, _ = train_lora(base, lists, CONFIG)
    other, _ = train_lora(base, lists, replace(CONFIG, seed=1))
    for path, (a, b) in first.weights.lora.items():
        assert torch.equal(a, second.weights.lora[path][0])
        assert torch.equal(b, second.weights.lora[path][1])
    assert any(not torch.equal(a, other.weights.lora[path][0]) for path, (a, _) in first.weights.lora.items())


def test_every_step_reports_each_loss(base, lists):
    """Each step reports its MWER, its correlation penalty, their weighted sum and its tokens."""
    _, reports = train_lora(base, lists, CONFIG)
    steps = [each for each in reports if isinstance(each, StepReport)]
    assert [each.step for each in steps] == [1, 2, 3, 4, 5, 6]
    assert all(each.num_steps == 6 and each.losses["correlation"] > 0 and each.num_tokens > 0 for each in steps)
    for each in steps:
        weighted = each.losses["mwer"] + CONFIG.correlation_weight * each.losses["correlation"]
        assert each.total == pytest.approx(weighted, rel=1e-5)
    assert any(isinstance(each, DevEvaluation) and each.is_best for each in reports)


def test_the_best_adapter_on_dev_is_returned(base, lists):
    """The returned weights are those of the best evaluation, and reproduce its dev scores."""
    trained, reports = train_lora(base, lists, CONFIG)
    evaluations = [each for each in reports if isinstance(each, DevEvaluation)]
    assert min(evaluations, key=lambda each: each.wer).step == trained.num_steps
    assert list(score_lists(RescoringModel(base), trained.weights, lists[40:])) == trained.dev_scores
    best = next(i for i, each in enumerate(evaluations) if each.step == trained.num_steps)
    assert trained.evaluation_scores[best] == trained.dev_scores
    assert len(trained.evaluation_scores) == len(evaluations)


def test_training_learns_a_rule(base):
    """Lists whose wrong hypothesis contains "zebra" and leads the first pass are corrected on unseen lists."""
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
    _, reports = train_lora(base, lists[::2] + lists[1::2], config)
    assert min(each.wer for each in reports if isinstance(each, DevEvaluation)) == 0.0


def test_training_stops_without_improvement_on_dev(base, lists):
    """With a patience of two, a learning rate near zero stops after the third evaluation."""
    config = replace(CONFIG, epochs=10, max_steps=None, learning_rate=1e-12, patience=2)
    _, reports = train_lora(base, lists, config)
    evaluations = [each for each in reports if isinstance(each, DevEvaluation)]
    assert [each.is_best for each in evaluations] == [True, False, False]


def test_lists_without_scores_train_with_the_rank_prior(base, lists):
    """Lists without scores train with a rank prior whose log probabilities never rise with the rank."""
    unscored = [
        replace(each.nbest, hypotheses=tuple(Hypothesis(h.transcript) for h in each.nbest.hypotheses)) for each in lists
    ]
    prepared = encode_lists(unscored, base.text_encoder, TextNormalization(), uses_context=False)
    prior = fit_rank_prior(prepared)
    assert list(prior.log_probabilities) == sorted(prior.log_probabilities, reverse=True)
    trained, _ = train_lora(base, prepared, replace(CONFIG, max_steps=2))
    assert trained.num_steps in (1, 2)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


EVERYTHING = replace(
    CONFIG, dropout=0.1, r_drop_weight=0.5, ema_decay=0.9, lora=LoraConfig(rank=4, layers=(1,)), loss="mwed"
)


@pytest.mark.parametrize("stop", [1, 2, 3, 5, 6])
def test_resuming_after_any_step_gives_the_same_bits(base, lists, stop):
    """A state written and read after each step leads to the same tensors, scores of every evaluation, and reports."""
    config = replace(EVERYTHING, evaluations_per_epoch=5)
    saved = {}

    def save(state):
        saved[state.step] = state.to_bytes()

    whole, reports = train_lora(base, lists, config, save=save, checkpoint_seconds=0)
    state = TrainingState.from_bytes(saved[stop], "here")
    resumed, later = train_lora(base, lists, config, state=state)
    assert same(resumed.tensors, whole.tensors)
    assert resumed.dev_scores == whole.dev_scores
    assert resumed.evaluation_scores == whole.evaluation_scores
    assert later == reports[len(reports) - len(later) :]
    assert state.steps + state.evaluations == [
        *(each for each in reports if isinstance(each, StepReport)),
        *(each for each in reports if isinstance(each, DevEvaluation)),
    ]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_resumes_to_the_same_bits(tiny_bert, lists, name):
    """Every method, restored into a fresh base, continues to the same tensors and dev scores."""
    config = replace(CONFIG, method=name, max_steps=4, ema_decay=0.5, learning_rate=1e-2)
    saved = {}

    def save(state):
        saved[state.step] = state.to_bytes()

    whole, _ = train_lora(load_base(str(tiny_bert)), lists, config, save=save)
    state = TrainingState.from_bytes(saved[2], "here")
    resumed, _ = train_lora(load_base(str(tiny_bert)), lists, config, state=state)
    assert same(resumed.tensors, whole.tensors)
    assert resumed.dev_scores == whole.dev_scores


def test_checkpoints_follow_evaluations_and_the_clock(base, lists):
    """At one second a step and a checkpoint every two seconds: after steps 2, 3 (evaluation), 5 and 6 (last one)."""
    seconds = iter(range(1000))
    now = 0

    def clock():
        return now

    def report(each):
        nonlocal now
        if isinstance(each, StepReport):
            now = next(seconds) + 1

    saved = []
    config = replace(CONFIG, evaluations_per_epoch=3)
    method = make_method(base, config)

    def save(state):
        saved.append(state.step)

    prior = fit_rank_prior(lists)
    train(method, config, lists[:40], lists[40:], prior, report, save=save, checkpoint_seconds=2, clock=clock)
    assert saved == [2, 3, 5, 6]


def test_the_moving_average_is_evaluated_and_returned(base, lists):
    """With a decay, the returned head is the average, which lags behind the values and is smaller."""
    plain, _ = train_lora(base, lists, CONFIG)
    averaged, _ = train_lora(base, lists, replace(CONFIG, ema_decay=0.99))
    assert averaged.weights.head.weight.norm() < plain.weights.head.weight.norm()


def test_an_exploding_learning_rate_is_an_error(base, lists):
    """A gradient that is not finite ends the run with the step's number."""
    with pytest.raises(InvalidInput, match=r"gradient of step \d+ is not finite"):
        train_lora(base, lists, replace(CONFIG, learning_rate=1e30))


def test_one_row_per_list_changes_only_the_correlation(base, lists):
    """One row per list raises the penalty, whose floor falls with the number of rows, and leaves MWER as it is."""
    _, all_rows = train_lora(base, lists, replace(CONFIG, max_steps=1))
    _, one_each = train_lora(base, lists, replace(CONFIG, max_steps=1, correlation_rows="one-per-list"))
    assert one_each[0].losses["correlation"] > all_rows[0].losses["correlation"]
    assert one_each[0].losses["mwer"] == all_rows[0].losses["mwer"]
