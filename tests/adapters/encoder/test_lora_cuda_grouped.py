"""LoRA by grouped products: equal to a loop over segments, and chosen only where there is a kernel."""

import gc

import pytest
import torch

from lorb_adapters.base.loader import load_base
from lorb_adapters.encoder import packed_encoder
from lorb_adapters.encoder.lora_cuda_grouped import FlatAdapters, GroupedLora, prefers_grouped
from lorb_adapters.encoder.lora_segments import LoraMatricesCache, SegmentLora
from lorb_adapters.encoder.memory import Workspace
from lorb_adapters.encoder.projections import PROJECTION_MODULES, projection_at
from lorb_adapters.model import RescoringModel
from lorb_adapters.text import EncodedHypothesis
from support.adapters.random_adapters import SHAPES, random_adapter, unlike_adapters

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def base(tiny_bert):
    return load_base(str(tiny_bert))


@pytest.fixture(scope="module")
def adapters(base):
    """Adapters of ranks below, at and above the padding step, one with two targets, one without any."""
    return unlike_adapters(base)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
@pytest.mark.parametrize("gaps", [False, True])
def test_groups_add_what_segments_add(adapters, dtype, tolerance, gaps):
    """Both agree at every projection, for tokens outside any segment too."""
    own = [weights.to("cpu", dtype) for weights in adapters]
    bounds = [(2, 7), (7, 8), (10, 21), (21, 30)] if gaps else [(0, 7), (7, 8), (8, 21), (21, 33)]
    segments = [(start, stop, weights) for (start, stop), weights in zip(bounds, own, strict=True)]
    grouped = GroupedLora(segments, 33, FlatAdapters(SHAPES, CPU, dtype), CPU)
    looped = SegmentLora(segments, LoraMatricesCache(2, dtype), Workspace(CPU))
    generator = torch.Generator().manual_seed(0)
    for i, (inputs, outputs) in enumerate(SHAPES):
        layer, projection = projection_at(i)
        x = torch.randn(33, inputs, generator=generator).to(dtype)
        out = torch.randn(33, outputs * len(PROJECTION_MODULES[projection]), generator=generator).to(dtype)
        expected = out.clone()
        grouped.add(layer, projection, x, out)
        looped.add(layer, projection, x, expected)
        torch.testing.assert_close(out, expected, rtol=tolerance, atol=tolerance)


def test_a_model_scores_the_same_by_grouped_products(base, adapters, monkeypatch):
    """The encoder gives the same scores with grouped products as without."""
    model = RescoringModel(base)
    rows = [EncodedHypothesis(tuple(range(5, 5 + n)), (0,) * n, 1, False) for n in (4, 9, 2, 9, 4, 17, 3, 3)]
    row_adapters = [0, 1, 2, 3, 3, 2, 1, 0]
    expected = model.score(rows, adapters, row_adapters)
    monkeypatch.setattr(packed_encoder, "prefers_grouped", lambda *_: True)
    torch.testing.assert_close(model.score(rows, adapters, row_adapters), expected, rtol=1e-5, atol=1e-5)


def test_one_vector_serves_batches_of_any_rank(base):
    """An adapter of rank 4 takes no more memory after batches with ranks 16 and 64."""
    flats = FlatAdapters(SHAPES, CPU, torch.float32)
    small, middle, large = (random_adapter(base, rank, rank=rank) for rank in (4, 16, 64))
    alone = flats.stack([small], 8)
    small_bytes = flats._cache.get_or_build(small, list).nbytes
    for together, rank in (([small, middle], 16), ([small, large], 64), ([large, middle], 64)):
        for (a, b), (a_alone, b_alone) in zip(flats.stack(together, rank), alone, strict=True):
            if together[0] is small:
                assert torch.equal(a[0, :, :8], a_alone[0])
                assert torch.equal(b[0, ..., :8], b_alone[0])
                assert not a[0, :, 8:].any()
                assert not b[0, ..., 8:].any()
    cached = {weights.config.rank: flats._cache.get_or_build(weights, list).nbytes for weights in flats._cache}
    assert cached == {4: small_bytes, 16: 2 * small_bytes, 64: 8 * small_bytes}


def test_vectors_are_freed_with_their_adapters(base):
    """The cache drops an adapter when it is freed, and never holds one in training."""
    flats = FlatAdapters(SHAPES, CPU, torch.float32)
    served, trained = random_adapter(base, 4), random_adapter(base, 5)
    next(trained.tensors()).requires_grad_(True)
    with torch.no_grad():
        flats.stack([served, trained], 8)
    assert list(flats._cache) == [served]
    del served
    gc.collect()
    assert not flats._cache


def test_a_cpu_does_not_use_grouped_products():
    """Grouped products are not preferred on a device without a kernel for them."""
    assert not prefers_grouped(CPU, torch.bfloat16, 100)
