"""A step's objective: its parts, their weights, and whom each of them teaches."""

from dataclasses import replace

import pytest
import torch

from lorb.nbest import Hypothesis, NBest
from lorb_adapters.base.loader import load_base
from lorb_adapters.lora.config import LoraConfig
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.data.encoded_lists import encode_lists
from lorb_adapters.training.data.first_pass import fit_rank_prior
from lorb_adapters.training.losses import correlation_penalty
from lorb_adapters.training.methods import make_method
from lorb_adapters.training.objective import Objective
from lorb_adapters.training.processes import Processes

CONFIG = TrainConfig(lora=LoraConfig(rank=2), precision="fp32")
TAUGHT = replace(CONFIG, loss="mwer+distill", teacher="pll", distillation_weight=0.5)


@pytest.fixture(scope="module")
def base(tiny_bert):
    return load_base(str(tiny_bert))


@pytest.fixture(scope="module")
def lists(base):
    """Two lists of two and three texts, none of them right, with a teacher's scores and a reference to join them."""
    made = [
        NBest(
            tuple(Hypothesis(text, -float(i), {"pll": -2.0 - i}) for i, text in enumerate(texts)), reference="the man"
        )
        for texts in (["the old", "a hand day"], ["old man", "day", "a man the door"])
    ]
    return [
        each.with_reference()
        for each in encode_lists(
            made, base.text_encoder, TextNormalization(), uses_context=False, uses_references=True, teacher="pll"
        )
    ]


def objective(base, lists, config):
    """The losses' function and its method, moved off its beginning, where everything scores 0."""
    method = make_method(base, config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in method.tensors.values():
            tensor.add_(0.1 * torch.randn(tensor.shape, generator=generator))
    return method, Objective(method, config, fit_rank_prior(lists), Processes())


def test_the_total_is_the_weighted_sum_of_what_is_told(base, lists):
    """MWER + 0.5 distillation + 1e-3 correlation + 2 R-Drop, each told before its weight."""
    config = replace(TAUGHT, dropout=0.2, r_drop_weight=2.0, correlation_weight=1e-3)
    losses = objective(base, lists, config)[1](lists, 1)
    told = {name: value.item() for name, value in losses.values.items()}
    assert list(told) == ["mwer", "distillation", "correlation", "r_drop"]
    assert told["r_drop"] > 0
    expected = told["mwer"] + 0.5 * told["distillation"] + 1e-3 * told["correlation"] + 2 * told["r_drop"]
    assert losses.total.item() == pytest.approx(expected, rel=1e-5)
    assert losses.weighted.item() == pytest.approx(expected, rel=1e-5)


def test_a_reference_that_joins_a_list_has_no_teacher(base, lists):
    """The distance is the mean over the five hypotheses that were taught, and finite."""
    method, losses_of = objective(base, lists, TAUGHT)
    taught = [each.keeping(range(len(each.rows) - 1)) for each in lists]
    scores = torch.tensor([score for each in method.scores(method.snapshot(), taught) for score in each])
    teacher = torch.tensor([score for each in taught for score in each.teacher])
    expected = (scores - teacher).square().mean().item()
    assert losses_of(lists, 1).values["distillation"].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("rows", ["all", "one-per-list"])
def test_the_regulariser_reads_the_rows_it_is_told_to(base, lists, rows):
    """All of them, or the first pass' best of each list, whatever the order in which they are computed."""
    method, losses_of = objective(base, lists, replace(CONFIG, correlation_rows=rows))
    read = [row for each in lists for row in (each.rows if rows == "all" else each.rows[:1])]
    features = torch.cat([method.forward([row], None)[0] for row in read])
    expected = correlation_penalty(features).item()
    assert losses_of(lists, 1).values["correlation"].item() == pytest.approx(expected, rel=1e-3)


def test_a_weight_of_0_tells_the_correlation_and_does_not_minimise_it(base, lists):
    """Its value is there; the gradient is MWER's own."""
    gradients = []
    for weight in (0.0, 1.0):
        method, losses_of = objective(base, lists, replace(CONFIG, correlation_weight=weight))
        losses = losses_of(lists, 1)
        assert losses.values["correlation"] > 0
        (losses.total if weight == 0.0 else losses.values["mwer"]).backward()
        gradients.append(method.tensors["encoder.layer.0.attention.self.query.A"].grad)
    torch.testing.assert_close(*gradients)
