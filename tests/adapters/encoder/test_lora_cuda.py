"""Grouped products: the same as the segments' own, and chosen only where there is a kernel for them."""

import gc

import pytest
import torch

from lorb_adapters.base.loader import load_base
from lorb_adapters.encoder import packed_encoder
from lorb_adapters.encoder.flat_adapters import FlatAdapters
from lorb_adapters.encoder.lora_cuda import GroupedLora, prefers_groups
from lorb_adapters.encoder.lora_matrices import JOINED_SITES, LoraStacks, Projection, SegmentLora
from lorb_adapters.encoder.workspace import Workspace
from lorb_adapters.model import RescoringModel
from lorb_adapters.text import EncodedHypothesis
from support.adapters.random_adapters import SHAPES, random_adapter, unlike_adapters

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def base(tiny_bert):
    return load_base(str(tiny_bert))


@pytest.fixture(scope="module")
def adapters(base):
    """Ranks below, at and above the step they are padded to, one with two targets, one without any."""
    return unlike_adapters(base)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
@pytest.mark.parametrize("gaps", [False, True])
def test_groups_add_what_segments_add(adapters, dtype, tolerance, gaps):
    """At every join of every layer, tokens outside any segment included."""
    own = [weights.to("cpu", dtype) for weights in adapters]
    bounds = [(2, 7), (7, 8), (10, 21), (21, 30)] if gaps else [(0, 7), (7, 8), (8, 21), (21, 33)]
    segments = [(start, stop, weights) for (start, stop), weights in zip(bounds, own, strict=True)]
    grouped = GroupedLora(segments, 33, FlatAdapters(SHAPES, CPU, dtype), CPU)
    looped = SegmentLora(segments, LoraStacks(2, dtype), Workspace(CPU))
    generator = torch.Generator().manual_seed(0)
    for i, (inputs, outputs) in enumerate(SHAPES):
        layer, join = divmod(i, len(Projection))
        x = torch.randn(33, inputs, generator=generator).to(dtype)
        out = torch.randn(33, outputs * len(JOINED_SITES[Projection(join)]), generator=generator).to(dtype)
        expected = out.clone()
        grouped.add(layer, Projection(join), x, out)
        looped.add(layer, Projection(join), x, expected)
        torch.testing.assert_close(out, expected, rtol=tolerance, atol=tolerance)


def test_a_model_scores_the_same_through_groups(base, adapters, monkeypatch):
    """The encoder, made to prefer groups, gives the scores of its segment loop."""
    model = RescoringModel(base)
    rows = [EncodedHypothesis(tuple(range(5, 5 + n)), (0,) * n, 1, False) for n in (4, 9, 2, 9, 4, 17, 3, 3)]
    which = [0, 1, 2, 3, 3, 2, 1, 0]
    expected = model.score(rows, adapters, which)
    monkeypatch.setattr(packed_encoder, "prefers_groups", lambda *_: True)
    torch.testing.assert_close(model.score(rows, adapters, which), expected, rtol=1e-5, atol=1e-5)


def test_one_vector_is_kept_whatever_ranks_an_adapter_meets(base):
    """An adapter of rank 4 that shared passes with ranks 16 and 64 takes what it took alone."""
    flats = FlatAdapters(SHAPES, CPU, torch.float32)
    small, middle, large = (random_adapter(base, rank, rank=rank) for rank in (4, 16, 64))
    alone = flats.stack([small], 8)
    kept_bytes = flats._kept.of(small, list).nbytes
    for together, rank in (([small, middle], 16), ([small, large], 64), ([large, middle], 64)):
        for (a, b), (a_alone, b_alone) in zip(flats.stack(together, rank), alone, strict=True):
            if together[0] is small:
                assert torch.equal(a[0, :, :8], a_alone[0])
                assert torch.equal(b[0, ..., :8], b_alone[0])
                assert not a[0, :, 8:].any()
                assert not b[0, ..., 8:].any()
    held = {weights.config.rank: flats._kept.of(weights, list).nbytes for weights in flats._kept}
    assert held == {4: kept_bytes, 16: 2 * kept_bytes, 64: 8 * kept_bytes}


def test_vectors_go_with_their_adapters(base):
    """What is kept for an adapter ends with it, and a trained one's is never kept."""
    flats = FlatAdapters(SHAPES, CPU, torch.float32)
    kept, trained = random_adapter(base, 4), random_adapter(base, 5)
    next(trained.tensors()).requires_grad_(True)
    with torch.no_grad():
        flats.stack([kept, trained], 8)
    assert list(flats._kept) == [kept]
    del kept
    gc.collect()
    assert not flats._kept


def test_the_processor_keeps_its_segments():
    """Without a CUDA kernel for groups the loop stays."""
    assert not prefers_groups(CPU, torch.bfloat16, 100)
