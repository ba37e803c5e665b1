"""Distillation: which targets a student has, L_MD, and that a head learns them."""

import pytest
import torch

from lorb_adapters.base.loader import load_base
from lorb_adapters.lora import head
from lorb_adapters.pretraining.config import PLL, BuildConfig
from lorb_adapters.pretraining.objectives.distillation import Student, TaughtRow, Unit, teach
from lorb_adapters.text import TextNormalization


@pytest.fixture
def base(tiny_bert):
    return load_base(str(tiny_bert))


def encoded(base, *texts):
    rows = [base.text_encoder.encode([text], "", TextNormalization(), False)[0] for text in texts]
    return sorted(rows, key=lambda row: row.num_tokens)


def student(base, unit, kind="sum"):
    return Student(base, BuildConfig(objective=PLL, head=kind, precision="fp32"), unit)


def test_a_sum_head_has_each_tokens_own_target_and_a_cls_head_their_sum(base):
    """The closing separator, which a sum scores too, has 0: both heads' scores are PLL."""
    [row] = encoded(base, "the old man")
    assert teach(row, [-1.0, -2.0, -4.0], "sum") == TaughtRow(row, (-1.0, -2.0, -4.0, 0.0))
    assert teach(row, [-1.0, -2.0, -4.0], "cls") == TaughtRow(row, (-7.0,))


def test_an_empty_text_is_worth_nothing(base):
    """No token, no log P: its PLL is 0."""
    [row] = encoded(base, "")
    assert teach(row, [], "sum").targets == teach(row, [], "cls").targets == (0.0,)


@pytest.mark.parametrize("kind", ["sum", "cls"])
def test_the_loss_is_the_mean_squared_distance_in_units_of_the_targets(base, kind):
    """By hand from what the head scores: tokens for a sum, rows for [CLS]; served scores are the sums of these."""
    rows = [
        teach(row, [-0.5 * i for i in range(row.num_tokens - 2)], kind)
        for row in encoded(base, "the old man", "the old man and")
    ]
    unit = Unit.of(rows)
    model = student(base, unit, kind)
    with torch.no_grad():
        model.tensors["head.weight"].normal_(generator=torch.Generator().manual_seed(0))
        model.tensors["head.bias"].fill_(0.3)
    packed = model._pack([each.row for each in rows])
    hidden = model._hidden([each.row for each in rows], packed, None)
    read = packed.starts if kind == "cls" else packed.scored_positions
    scores = unit.mean + unit.deviation * (hidden[read] @ model.tensors["head.weight"] + 0.3)
    targets = torch.tensor([target for each in rows for target in each.targets])
    expected = ((scores - targets) / unit.deviation).square().mean()
    assert model.loss(rows).item() == pytest.approx(expected.item(), rel=1e-5)
    served = head.mixed_scores(hidden, packed, [model.head], packed.starts)
    assert model.scores_of([each.row for each in rows]).tolist() == pytest.approx(served.tolist(), rel=1e-5)
    sums = scores if kind == "cls" else torch.zeros(2).index_add(0, packed.scored_rows, scores)
    assert served.tolist() == pytest.approx(sums.tolist(), rel=1e-5)


def test_a_fresh_head_says_the_mean_and_the_unit_is_the_spread(base):
    """Its loss before the first step is 1: the variance in units of itself; equal targets have the unit 1."""
    rows = [teach(row, [-1.0, -2.0, -6.0], "sum") for row in encoded(base, "the old man")]
    unit = Unit.of(rows)
    assert (unit.mean, unit.deviation) == pytest.approx((-2.25, 5.1875**0.5))
    assert student(base, unit).loss(rows).item() == pytest.approx(1.0, rel=1e-5)
    assert Unit.of([TaughtRow(rows[0].row, (-3.0,))]) == Unit(-3.0, 1.0)


@pytest.mark.parametrize("kind", ["sum", "cls"])
def test_a_student_learns_what_it_is_told(base, kind):
    """Some steps bring the scores of four sentences near their PLL, far as that is from 0."""
    texts = ["the old man", "the sea", "an old man and the sea", "qq the"]
    rows = [
        teach(row, [-9.0 - 3 * ((i + row.num_tokens) % 3) for i in range(row.num_tokens - 2)], kind)
        for row in encoded(base, *texts)
    ]
    model = student(base, Unit.of(rows), kind)
    optimizer = torch.optim.AdamW(model.tensors.values(), lr=3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        model.loss(rows).backward()
        optimizer.step()
    expected = torch.tensor([sum(each.targets) for each in rows])
    assert (model.scores_of([each.row for each in rows]) - expected).abs().max() < 3.0
