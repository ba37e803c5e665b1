"""LoRA on a CPU in fp32: LoRA before the base's product gives what LoRA after it gives, bias and residual included."""

import gc

import pytest
import torch

from lorb_adapters.base.loader import load_base
from lorb_adapters.encoder.bert_layer import BertLayer
from lorb_adapters.encoder.lora_cpu_fp32 import LoraThenBase, LoraWithBiasMatrices
from lorb_adapters.encoder.lora_cuda_segments import LoraMatricesCache, SegmentLora
from lorb_adapters.encoder.memory import Workspace
from lorb_adapters.encoder.projections import BaseProjections, BaseThenLora, Projection
from lorb_adapters.lora.weights import base_only_weights
from support.adapters.random_adapters import random_adapter

FP32 = torch.float32


@pytest.fixture(scope="module")
def base(tiny_bert):
    return load_base(str(tiny_bert))


@pytest.fixture(scope="module")
def layers(base):
    with torch.no_grad():
        return [BertLayer.read(layer, FP32) for layer in base.encoder.encoder.layer]


@pytest.fixture(scope="module")
def adapters(base):
    """Adapters of all targets, of query and value, of the dense modules alone, and of none."""
    return [
        random_adapter(base, 0, rank=3),
        random_adapter(base, 1, targets=("query", "value"), rank=8),
        random_adapter(base, 2, targets=("dense",), rank=5),
        base_only_weights(random_adapter(base, 3).head),
    ]


def outputs_of(projections, layers, num_tokens):
    """Computes every projection of every layer for random inputs and, where they have one, random residuals."""
    generator = torch.Generator().manual_seed(0)
    outputs = []
    for number, layer in enumerate(layers):
        for projection, linear in zip(Projection, layer.linears, strict=True):
            x = torch.randn(num_tokens, linear.weight.shape[1], generator=generator)
            residual = torch.randn(num_tokens, linear.weight.shape[0], generator=generator)
            if projection in (Projection.ATTENTION_OUT, Projection.DOWN):
                outputs.append(projections.project_onto_residual(number, projection, residual, x, linear).clone())
            else:
                outputs.append(projections.project(number, projection, x, linear).clone())
    return outputs


@pytest.mark.parametrize("bounds", [[], [(0, 9)], [(0, 3), (3, 4), (4, 9), (9, 12)], [(1, 3), (5, 7), (7, 8), (9, 11)]])
def test_either_order_gives_the_same(layers, adapters, bounds):
    """The orders agree for segments that cover all tokens, that leave gaps at the ends and between, and for none."""
    segments = [(start, stop, adapters[i]) for i, (start, stop) in enumerate(bounds)]
    workspace = Workspace(torch.device("cpu"))
    base = BaseProjections(FP32, workspace)
    with torch.no_grad():
        first = LoraThenBase(base, segments, 12, LoraWithBiasMatrices(layers, FP32), workspace)
        after = BaseThenLora(base, SegmentLora(segments, LoraMatricesCache(len(layers), FP32), workspace))
        for ours, expected in zip(outputs_of(first, layers, 12), outputs_of(after, layers, 12), strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


def test_matrices_are_freed_with_their_adapter(base, layers):
    """The cache drops an adapter when it is freed, and never holds one in training."""
    matrices = LoraWithBiasMatrices(layers, FP32)
    served, trained = random_adapter(base, 4), random_adapter(base, 5)
    next(trained.tensors()).requires_grad_(True)
    with torch.no_grad():
        matrices.get(served)
        matrices.get(trained)
    assert list(matrices._cache) == [served]
    del served
    gc.collect()
    assert not matrices._cache
