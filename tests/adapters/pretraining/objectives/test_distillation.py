"""Distillation: the student's targets, the loss L_MD, and learning."""

import pytest
import torch

from lorb_adapters.base.loader import load_base
from lorb_adapters.encoder.head_scores import mixed_head_scores
from lorb_adapters.pretraining.config import PLL, BuildConfig
from lorb_adapters.pretraining.objectives.distillation import (
    DistillationExample,
    Student,
    TargetScale,
    distillation_example,
)
from lorb_adapters.text import TextNormalization


@pytest.fixture
def base(tiny_bert):
    return load_base(str(tiny_bert))


def encoded(base, *texts):
    rows = [base.text_encoder.encode([text], "", TextNormalization(), False)[0] for text in texts]
    return sorted(rows, key=lambda row: row.num_tokens)


def student(base, scale, kind="sum"):
    return Student(base, BuildConfig(objective=PLL, head=kind, precision="fp32"), scale)


def test_a_sum_head_has_each_tokens_own_target_and_a_cls_head_their_sum(base):
    """A sum head has one target per token, 0 for the closing separator; a cls head has their sum, PLL."""
    [row] = encoded(base, "the old man")
    assert distillation_example(row, [-1.0, -2.0, -4.0], "sum") == DistillationExample(row, (-1.0, -2.0, -4.0, 0.0))
    assert distillation_example(row, [-1.0, -2.0, -4.0], "cls") == DistillationExample(row, (-7.0,))


def test_an_empty_text_has_the_target_zero(base):
    """The PLL of a text without tokens is 0."""
    [row] = encoded(base, "")
    assert distillation_example(row, [], "sum").targets == distillation_example(row, [], "cls").targets == (0.0,)


@pytest.mark.parametrize("kind", ["sum", "cls"])
def test_the_loss_is_the_mean_squared_distance_in_scales_of_the_targets(base, kind):
    """L_MD equals its definition, and the served scores are those that the loss was computed from."""
    rows = [
        distillation_example(row, [-0.5 * i for i in range(row.num_tokens - 2)], kind)
        for row in encoded(base, "the old man", "the old man and")
    ]
    scale = TargetScale.of(rows)
    model = student(base, scale, kind)
    with torch.no_grad():
        model.tensors["head.weight"].normal_(generator=torch.Generator().manual_seed(0))
        model.tensors["head.bias"].fill_(0.3)
    packed = model._pack([each.encoded for each in rows])
    hidden = model._hidden_states([each.encoded for each in rows], packed, None)
    read = packed.starts if kind == "cls" else packed.scored_positions
    scores = scale.mean + scale.deviation * (hidden[read] @ model.tensors["head.weight"] + 0.3)
    targets = torch.tensor([target for each in rows for target in each.targets])
    expected = ((scores - targets) / scale.deviation).square().mean()
    assert model.loss(rows).item() == pytest.approx(expected.item(), rel=1e-5)
    served = mixed_head_scores(hidden, packed, [model.head], packed.starts)
    assert model.scores_of([each.encoded for each in rows]).tolist() == pytest.approx(served.tolist(), rel=1e-5)
    sums = scores if kind == "cls" else torch.zeros(2).index_add(0, packed.scored_rows, scores)
    assert served.tolist() == pytest.approx(sums.tolist(), rel=1e-5)


def test_an_untrained_head_scores_the_mean_and_the_scale_is_the_deviation(base):
    """The loss before the first step is 1, the variance in its own unit; equal targets have a deviation of 1."""
    rows = [distillation_example(row, [-1.0, -2.0, -6.0], "sum") for row in encoded(base, "the old man")]
    scale = TargetScale.of(rows)
    assert (scale.mean, scale.deviation) == pytest.approx((-2.25, 5.1875**0.5))
    assert student(base, scale).loss(rows).item() == pytest.approx(1.0, rel=1e-5)
    assert TargetScale.of([DistillationExample(rows[0].encoded, (-3.0,))]) == TargetScale(-3.0, 1.0)


@pytest.mark.parametrize("kind", ["sum", "cls"])
def test_a_student_learns_its_targets(base, kind):
    """After 150 steps the scores of four sentences are within 3 of their PLL, which is far from 0."""
    texts = ["the old man", "the sea", "an old man and the sea", "qq the"]
    rows = [
        distillation_example(row, [-9.0 - 3 * ((i + row.num_tokens) % 3) for i in range(row.num_tokens - 2)], kind)
        for row in encoded(base, *texts)
    ]
    model = student(base, TargetScale.of(rows), kind)
    optimizer = torch.optim.AdamW(model.tensors.values(), lr=3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        model.loss(rows).backward()
        optimizer.step()
    expected = torch.tensor([sum(each.targets) for each in rows])
    assert (model.scores_of([each.encoded for each in rows]) - expected).abs().max() < 3.0
