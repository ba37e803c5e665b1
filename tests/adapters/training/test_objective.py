"""The objective of a step: its losses, their weights, and the rows they depend on."""

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
from lorb_adapters.training.losses import correlation_penalty, mwer_loss
from lorb_adapters.training.methods import make_method
from lorb_adapters.training.objective import Objective
from lorb_adapters.training.processes import Processes

CONFIG = TrainConfig(lora=LoraConfig(rank=2), precision="fp32")
DISTILLING = replace(CONFIG, loss="mwer+distill", teacher="pll", distillation_weight=0.5)


@pytest.fixture(scope="module")
def base(tiny_bert):
    return load_base(str(tiny_bert))


@pytest.fixture(scope="module")
def lists(base):
    """Two lists of two and three wrong texts with a teacher's scores, each with its reference added."""
    nbests = [
        NBest(
            tuple(Hypothesis(text, -float(i), {"pll": -2.0 - i}) for i, text in enumerate(texts)), reference="the man"
        )
        for texts in (["the old", "a hand day"], ["old man", "day", "a man the door"])
    ]
    return [
        each.with_reference()
        for each in encode_lists(
            nbests, base.text_encoder, TextNormalization(), uses_context=False, uses_references=True, teacher="pll"
        )
    ]


def create_objective(base, lists, config):
    """A method and its objective; the method's tensors are random, as the initial ones score everything 0."""
    method = make_method(base, config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in method.tensors.values():
            tensor.add_(0.1 * torch.randn(tensor.shape, generator=generator))
    return method, Objective(method, config, fit_rank_prior(lists), Processes())


def test_the_total_is_the_weighted_sum_of_the_losses(base, lists):
    """MWER + 0.5 distillation + 1e-3 correlation + 2 R-Drop; each is reported before its weight."""
    config = replace(DISTILLING, dropout=0.2, r_drop_weight=2.0, correlation_weight=1e-3)
    losses = create_objective(base, lists, config)[1](lists, 1)
    values = {name: value.item() for name, value in losses.values.items()}
    assert list(values) == ["mwer", "distillation", "correlation", "r_drop"]
    assert values["r_drop"] > 0
    expected = values["mwer"] + 0.5 * values["distillation"] + 1e-3 * values["correlation"] + 2 * values["r_drop"]
    assert losses.total.item() == pytest.approx(expected, rel=1e-5)
    assert losses.weighted.item() == pytest.approx(expected, rel=1e-5)


def test_an_added_reference_has_no_teacher_score(base, lists):
    """Distillation is the mean over the five hypotheses with a teacher's score, without the references."""
    method, objective = create_objective(base, lists, DISTILLING)
    with_teacher = [each.select(range(len(each.rows) - 1)) for each in lists]
    scores = torch.tensor([score for each in method.scores(method.snapshot(), with_teacher) for score in each])
    teacher = torch.tensor([score for each in with_teacher for score in each.teacher])
    expected = (scores - teacher).square().mean().item()
    assert objective(lists, 1).values["distillation"].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("rows", ["all", "one-per-list"])
def test_the_correlation_reads_the_configured_rows(base, lists, rows):
    """The penalty is that of all rows, or of each list's first-pass best, in any order of computation."""
    method, objective = create_objective(base, lists, replace(CONFIG, correlation_rows=rows))
    read = [row for each in lists for row in (each.rows if rows == "all" else each.rows[:1])]
    features = torch.cat([method.forward([row], None)[0] for row in read])
    expected = correlation_penalty(features).item()
    assert objective(lists, 1).values["correlation"].item() == pytest.approx(expected, rel=1e-3)


def test_a_correlation_weight_of_zero_only_reports_it(base, lists):
    """With weight 0 the penalty is reported, and the total's gradient is MWER's."""
    gradients = []
    for weight in (0.0, 1.0):
        method, objective = create_objective(base, lists, replace(CONFIG, correlation_weight=weight))
        losses = objective(lists, 1)
        assert losses.values["correlation"] > 0
        (losses.total if weight == 0.0 else losses.values["mwer"]).backward()
        gradients.append(method.tensors["encoder.layer.0.attention.self.query.A"].grad)
    torch.testing.assert_close(*gradients)


def test_lists_without_scores_use_the_prior_of_each_texts_rank(base):
    """The loss of drawn texts is MWER with the prior of their ranks in the whole list."""
    nbest = NBest(tuple(Hypothesis("the" + " man" * i) for i in range(9)), reference="the man man")
    [whole] = encode_lists([nbest], base.text_encoder, TextNormalization(), uses_context=False)
    drawn = whole.select([0, 2, 8])
    method, objective = create_objective(base, [whole], replace(CONFIG, correlation_weight=0.0))
    [scores] = method.scores(method.snapshot(), [drawn])
    prior = fit_rank_prior([whole]).scores(9)
    combined = torch.tensor([score + prior[rank] for score, rank in zip(scores, (0, 2, 8), strict=True)])
    expected = mwer_loss(combined, torch.tensor(drawn.errors), [3]).item()
    assert objective([drawn], 1).values["mwer"].item() == pytest.approx(expected, rel=1e-4)
