"""Batches divided among threads: scores and gradients of the whole batch, and equal bits in every run."""

from dataclasses import replace

import pytest
import torch

from lorb.formats import read_nbest_lists
from lorb_adapters.base.loader import load_base
from lorb_adapters.lora.config import LoraConfig
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.checkpoint import TrainingState
from lorb_adapters.training.config import METHODS, TrainConfig
from lorb_adapters.training.data.encoded_lists import encode_lists
from lorb_adapters.training.data.first_pass import fit_rank_prior
from lorb_adapters.training.encoder.dropout import Dropout
from lorb_adapters.training.loop import train
from lorb_adapters.training.methods import make_method
from lorb_adapters.training.methods.threads import Threads

CONFIG = TrainConfig(
    precision="fp32", lora=LoraConfig(rank=4, alpha=8), max_steps=4, lists_per_step=4, evaluations_per_epoch=50
)


@pytest.fixture(scope="module")
def threads():
    with Threads(2) as two:
        yield two


@pytest.fixture(scope="module")
def lists(tiny_bert, sample):
    nbests = read_nbest_lists([sample / "train.jsonl.gz"], require_references=True)[:40]
    encoder = load_base(str(tiny_bert)).text_encoder
    return [
        each for each in encode_lists(nbests, encoder, TextNormalization(), uses_context=False) if each.has_contrast
    ]


@pytest.fixture
def make(tiny_bert):
    """Creates a method on a base of its own, with random trained tensors."""

    def create(name, **changes):
        method = make_method(load_base(str(tiny_bert)), replace(CONFIG, method=name, **changes))
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for tensor in method.tensors.values():
                tensor.add_(0.1 * torch.randn(tensor.shape, generator=generator))
        return method

    return create


def rows_of(lists):
    return [row for each in lists[:6] for row in each.rows]


def results(method, rows):
    """Features and scores of the rows, and the gradients of all trained tensors for a loss that depends on both."""
    features, scores = method.forward(rows, None)
    (scores.square().sum() + features.sin().sum()).backward()
    return features.detach(), scores.detach(), {name: tensor.grad for name, tensor in method.tensors.items()}


@pytest.mark.parametrize("name", METHODS)
def test_two_threads_give_scores_and_gradients_of_one(make, lists, threads, name):
    """For every method, features, scores and gradients agree with those of one thread to rounding."""
    features, scores, gradients = results(make(name), rows_of(lists))
    divided = make(name)
    divided.threads = threads
    actual_features, actual_scores, actual_gradients = results(divided, rows_of(lists))
    torch.testing.assert_close(actual_features, features, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(actual_scores, scores, rtol=1e-4, atol=1e-5)
    largest = max(gradient.abs().max().item() for gradient in gradients.values())
    for tensor, gradient in gradients.items():
        torch.testing.assert_close(actual_gradients[tensor], gradient, rtol=1e-4, atol=1e-6 * largest, msg=tensor)


@pytest.mark.parametrize("name", METHODS)
def test_two_threads_score_lists_as_one(make, lists, threads, name):
    """For every method, the scores of lists agree with those of one thread to rounding, in the same order."""
    method = make(name)
    alone = method.scores(method.snapshot(), lists)
    method.threads = threads
    for one, other in zip(alone, method.scores(method.snapshot(), lists), strict=True):
        assert other == pytest.approx(one, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("name", ["lora", "head"])
def test_cached_hidden_states_keep_their_order(make, lists, threads, name):
    """The vectors of the layer cache are those of one thread, row by row, and need no gradient."""
    method = make(name, **({"lora": LoraConfig(rank=4, layers=(1,))} if name == "lora" else {}))
    rows = sorted(rows_of(lists), key=lambda row: row.num_tokens)
    alone = method.frozen_hidden_states(rows)
    method.threads = threads
    divided = method.frozen_hidden_states(rows)
    torch.testing.assert_close(divided, alone, rtol=1e-4, atol=1e-5)
    assert not divided.requires_grad


@pytest.mark.parametrize("name", ["lora", "full"])
def test_runs_on_two_threads_repeat_and_resume_to_the_bit(make, lists, threads, name):
    """With dropout and R-Drop, two runs and one resumed after step 2 give equal bits; so do their dev scores."""
    changes = {"dropout": 0.1, "r_drop_weight": 1.0, "epochs": 1, "patience": 0}
    saved = {}

    def run(**more):
        method = make(name, **changes)
        method.threads = threads
        prior = fit_rank_prior(lists)
        return train(method, method.config, lists[:-8], lists[-8:], prior, lambda report: None, **more)

    first = run(save=lambda state: saved.update({state.step: state.to_bytes()}))
    for other in (run(), run(state=TrainingState.from_bytes(saved[2], "here"))):
        assert other.dev_scores == first.dev_scores
        assert all(torch.equal(other.tensors[tensor], first.tensors[tensor]) for tensor in first.tensors)


def test_parts_draw_different_dropout(make, lists, threads):
    """The rows of both parts are the same, and their features differ by dropout alone."""
    method = make("lora")
    method.threads = threads
    row = lists[0].rows[0]
    features, _ = method.forward([row, row], Dropout(0.5, torch.device("cpu"), 0))
    assert not torch.equal(features[0], features[1])


def test_parts_have_about_equal_numbers_of_tokens(lists, threads):
    """Sorted rows are cut where half of the tokens are passed; a single row is one part."""
    rows = sorted(rows_of(lists), key=lambda row: row.num_tokens)
    parts = threads.split(rows)
    assert [row for part in parts for row in part] == rows
    tokens = [sum(row.num_tokens for row in part) for part in parts]
    assert len(tokens) == 2
    assert abs(tokens[0] - tokens[1]) <= rows[-1].num_tokens
    assert threads.split(rows[:1]) == [rows[:1]]


def test_a_failing_part_fails_the_pass(threads):
    """The error of a part reaches the caller."""
    with pytest.raises(ZeroDivisionError):
        threads.map(lambda part: 1 / part, [1, 0])


def test_after_the_block_one_thread_is_left():
    """A closed object computes in the caller's thread."""
    with Threads(3) as threads:
        pass
    assert threads.count == 1
    assert threads.map(lambda part: part + 1, [1, 2]) == [2, 3]
