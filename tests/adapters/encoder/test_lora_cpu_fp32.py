"""Adapters before the base: the same products as the base's with the adapters added, bias and residual included."""

import gc

import pytest
import torch

from lorb_adapters.base.loader import load_base
from lorb_adapters.encoder.adapted_products import BaseFirst
from lorb_adapters.encoder.base_products import BaseProducts
from lorb_adapters.encoder.bert_layer import BertLayer
from lorb_adapters.encoder.lora_cpu_fp32 import LoraFirst, LorasWithBias
from lorb_adapters.encoder.lora_matrices import LoraStacks, Projection, SegmentLora
from lorb_adapters.encoder.workspace import Workspace
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
    """All targets, two of query, key and value, the feed-forward part's and the attention's alone, none."""
    return [
        random_adapter(base, 0, rank=3),
        random_adapter(base, 1, targets=("query", "value"), rank=8),
        random_adapter(base, 2, targets=("dense",), rank=5),
        base_only_weights(random_adapter(base, 3).head),
    ]


def products_of(products, layers, num_tokens):
    """All products of all layers of random inputs, those onto a residual with a residual."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for number, layer in enumerate(layers):
        for join, linear in zip(Projection, layer.linears, strict=True):
            x = torch.randn(num_tokens, linear.weight.shape[1], generator=generator)
            residual = torch.randn(num_tokens, linear.weight.shape[0], generator=generator)
            if join in (Projection.ATTENTION_OUT, Projection.DOWN):
                made.append(products.onto_residual(number, join, residual, x, linear).clone())
            else:
                made.append(products.plain(number, join, x, linear).clone())
    return made


@pytest.mark.parametrize("bounds", [[], [(0, 9)], [(0, 3), (3, 4), (4, 9), (9, 12)], [(1, 3), (5, 7), (7, 8), (9, 11)]])
def test_either_order_makes_the_same(layers, adapters, bounds):
    """With segments that cover all tokens, leave gaps at either end and between, or are none."""
    segments = [(start, stop, adapters[i]) for i, (start, stop) in enumerate(bounds)]
    scratch = Workspace(torch.device("cpu"))
    base = BaseProducts(FP32, scratch)
    with torch.no_grad():
        first = LoraFirst(base, segments, 12, LorasWithBias(layers, FP32), scratch)
        after = BaseFirst(base, SegmentLora(segments, LoraStacks(len(layers), FP32), scratch))
        for ours, expected in zip(products_of(first, layers, 12), products_of(after, layers, 12), strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


def test_branches_go_with_their_adapters(base, layers):
    """What is kept for an adapter ends with it, and a trained one's is never kept."""
    branches = LorasWithBias(layers, FP32)
    kept, trained = random_adapter(base, 4), random_adapter(base, 5)
    next(trained.tensors()).requires_grad_(True)
    with torch.no_grad():
        branches.of(kept)
        branches.of(trained)
    assert list(branches._kept) == [kept]
    del kept
    gc.collect()
    assert not branches._kept
