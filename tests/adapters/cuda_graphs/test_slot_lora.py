"""LoRA over adapter slots: equal to a loop over segments."""

import gc

import pytest
import torch

from lorb_adapters.base.loader import load_base
from lorb_adapters.cuda_graphs.slot_lora import SLOT_RANK, SlotLayout, SlotLora, SlottedAdapters, num_slots
from lorb_adapters.encoder.lora_segments import LoraMatricesCache, SegmentLora
from lorb_adapters.encoder.memory import Workspace
from lorb_adapters.encoder.projections import PROJECTION_MODULES, Projection, projection_at
from support.adapters.random_adapters import HIDDEN, SHAPES, random_adapter, unlike_adapters

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def base(tiny_bert):
    return load_base(str(tiny_bert))


@pytest.fixture(scope="module")
def adapters(base):
    """Adapters that fill one slot in part, one slot, two slots, and one without LoRA."""
    return unlike_adapters(base)


def test_slots_are_whole(adapters):
    """A rank is rounded up to whole slots; a head alone takes one slot."""
    assert [num_slots(weights) for weights in adapters] == [1, 1, 1, 2]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
def test_slots_add_what_segments_add(adapters, dtype, tolerance):
    """Both agree at every projection, for tokens of four adapters and for tokens without one."""
    own = [weights.to("cpu", dtype) for weights in adapters]
    layout = SlotLayout(SHAPES)
    matrices = [SlottedAdapters(layout, CPU, dtype).get(weights).flatten(0, 1) for weights in own]
    owners = torch.cat([torch.full((len(ranks),), i) for i, ranks in enumerate(matrices)])
    bounds = [(2, 7), (7, 8), (10, 21), (21, 30)]
    of_token = torch.full((33,), -2)
    for i, (start, stop) in enumerate(bounds):
        of_token[start:stop] = i
    slots = SlotLora(layout, torch.cat(matrices), of_token[:, None] != owners)
    segments = [(start, stop, weights) for (start, stop), weights in zip(bounds, own, strict=True)]
    looped = SegmentLora(segments, LoraMatricesCache(2, dtype), Workspace(CPU))
    generator = torch.Generator().manual_seed(0)
    for i, (inputs, outputs) in enumerate(SHAPES):
        layer, projection = projection_at(i)
        x = torch.randn(33, inputs, generator=generator).to(dtype)
        out = torch.randn(33, outputs * len(PROJECTION_MODULES[projection]), generator=generator).to(dtype)
        expected = out.clone()
        slots.add(layer, projection, x, out)
        looped.add(layer, projection, x, expected)
        torch.testing.assert_close(out, expected, rtol=tolerance, atol=tolerance)


def test_an_overflow_stays_with_its_adapter(adapters, base):
    """One adapter's infinity reaches neither the tokens of another nor those without an adapter."""
    layout = SlotLayout(SHAPES)
    bad = random_adapter(base, 6)
    for a, _ in bad.lora.values():
        a.fill_(3e38)
    matrices = [
        SlottedAdapters(layout, CPU, torch.float32).get(weights).flatten(0, 1) for weights in (adapters[0], bad)
    ]
    owners = torch.arange(2).repeat_interleave(SLOT_RANK)
    slots = SlotLora(layout, torch.cat(matrices), torch.tensor([0, -2, 1])[:, None] != owners)
    alone = SlotLora(layout, matrices[0], torch.tensor([0, -2, -2])[:, None] != owners[:SLOT_RANK])
    out, expected = torch.zeros(2, 3, 3 * HIDDEN)
    x = torch.ones(3, HIDDEN)
    slots.add(0, Projection.QKV, x, out)
    alone.add(0, Projection.QKV, x, expected)
    torch.testing.assert_close(out[:2], expected[:2])
    assert not out[2].isfinite().any()


def test_slotted_matrices_are_freed_with_their_adapter(base):
    """The cache holds whole slots, built once, and drops them when the adapter is freed."""
    slotted = SlottedAdapters(SlotLayout(SHAPES), CPU, torch.float32)
    adapter = random_adapter(base, 4, rank=9)
    matrices = slotted.get(adapter)
    assert matrices.shape == (2, SLOT_RANK, slotted.layout.size)
    assert slotted.get(adapter) is matrices
    del adapter
    gc.collect()
    assert not slotted._cache
