"""The check of CUDA graphs against the model: rounding passes, mistakes do not."""

import math
from dataclasses import replace

import pytest
import torch

from lorb_adapters.base.loader import load_base
from lorb_adapters.cuda_graphs.check import max_relative_deviation
from lorb_adapters.cuda_graphs.graph import graph_buckets
from lorb_adapters.cuda_graphs.runner import CudaGraphRunner
from lorb_adapters.cuda_graphs.slot_lora import SlotLora
from lorb_adapters.model import RescoringModel

launch = CudaGraphRunner.launch


@pytest.fixture(scope="module")
def model(tiny_bert):
    return RescoringModel(load_base(str(tiny_bert)))


def deviation(model):
    return max_relative_deviation(model, CudaGraphRunner(model, graph_buckets(256)))


def test_correct_graphs_are_within_rounding(model):
    """In fp32 the deviation is below 1e-5."""
    assert deviation(model) < 1e-5


@pytest.mark.parametrize("fault", ["other rows", "other adapters", "no adapter", "stale", "not a number"])
def test_mistakes_are_far_beyond_rounding(model, monkeypatch, fault):
    """Mixed-up rows or adapters, a missing adapter, stale scores and NaN deviate by more than 0.2."""
    first = []

    def faulty(self, rows, adapters, row_adapters):
        if fault == "other rows":
            return launch(self, [*rows[1:], rows[0]], adapters, row_adapters)
        if fault == "other adapters":
            return launch(self, rows, adapters, [*row_adapters[1:], row_adapters[0]])
        future = launch(self, rows, adapters, row_adapters)
        scores = future.scores.clone()
        first.append(scores)
        if fault == "stale":
            scores = first[0][torch.arange(len(rows)) % len(first[0])].flip(0)
        if fault == "not a number":
            scores = torch.cat([scores[:-1], torch.tensor([math.nan])])
        return replace(future, scores=scores)

    monkeypatch.setattr(CudaGraphRunner, "launch", faulty)
    if fault == "no adapter":
        monkeypatch.setattr(SlotLora, "add", lambda *_: None)
    assert deviation(model) > 0.2
