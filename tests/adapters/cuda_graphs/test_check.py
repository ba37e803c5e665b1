"""The check before small passes are used: silent about rounding, loud about mistakes."""

import math
from dataclasses import replace

import pytest
import torch

from lorb_adapters.base.loader import load_base
from lorb_adapters.cuda_graphs.bucket import shapes_up_to
from lorb_adapters.cuda_graphs.check import largest_deviation
from lorb_adapters.cuda_graphs.lora_columns import ColumnLora
from lorb_adapters.cuda_graphs.runner import CudaGraphRunner
from lorb_adapters.model import RescoringModel

launch = CudaGraphRunner.launch


@pytest.fixture(scope="module")
def model(tiny_bert):
    return RescoringModel(load_base(str(tiny_bert)))


def deviation(model):
    return largest_deviation(model, model.small_passes(shapes_up_to(256)))


def test_right_passes_are_within_rounding(model):
    """In fp32 that is next to nothing."""
    assert deviation(model) < 1e-5


@pytest.mark.parametrize("fault", ["other rows", "other adapters", "no adapter", "stale", "not a number"])
def test_mistakes_are_far_beyond_it(model, monkeypatch, fault):
    """Rows or adapters mixed up, left out, of the pass before, or NaN: each at least twice what is allowed."""
    first = []

    def faulty(self, rows, adapters, which):
        if fault == "other rows":
            return launch(self, [*rows[1:], rows[0]], adapters, which)
        if fault == "other adapters":
            return launch(self, rows, adapters, [*which[1:], which[0]])
        pending = launch(self, rows, adapters, which)
        scores = pending.scores.clone()
        first.append(scores)
        if fault == "stale":
            scores = first[0][torch.arange(len(rows)) % len(first[0])].flip(0)
        if fault == "not a number":
            scores = torch.cat([scores[:-1], torch.tensor([math.nan])])
        return replace(pending, scores=scores)

    monkeypatch.setattr(CudaGraphRunner, "launch", faulty)
    if fault == "no adapter":
        monkeypatch.setattr(ColumnLora, "add", lambda *_: None)
    assert deviation(model) > 0.2
