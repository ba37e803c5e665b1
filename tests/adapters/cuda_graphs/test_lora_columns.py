"""Adapters side by side in columns: the same as the segments' own products."""

import gc

import pytest
import torch

from lorb_adapters.base.loader import load_base
from lorb_adapters.cuda_graphs.lora_columns import SLOT_RANK, AdapterColumns, ColumnLayout, ColumnLora, num_slots
from lorb_adapters.encoder.lora_matrices import JOINED_SITES, LoraStacks, Projection, SegmentLora
from lorb_adapters.encoder.workspace import Workspace
from support.adapters.random_adapters import HIDDEN, SHAPES, random_adapter, unlike_adapters

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def base(tiny_bert):
    return load_base(str(tiny_bert))


@pytest.fixture(scope="module")
def adapters(base):
    """One slot in part and in full, two slots, and no matrix at all."""
    return unlike_adapters(base)


def test_slots_are_whole(adapters):
    """A rank is rounded up to slots; a head alone has one too."""
    assert [num_slots(weights) for weights in adapters] == [1, 1, 1, 2]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
def test_columns_add_what_segments_add(adapters, dtype, tolerance):
    """At every join of every layer, for tokens of four adapters in turn and for those of none."""
    own = [weights.to("cpu", dtype) for weights in adapters]
    layout = ColumnLayout(SHAPES)
    made = [AdapterColumns(layout, CPU, dtype).of(weights).flatten(0, 1) for weights in own]
    owners = torch.cat([torch.full((len(columns),), i) for i, columns in enumerate(made)])
    bounds = [(2, 7), (7, 8), (10, 21), (21, 30)]
    of_token = torch.full((33,), -2)
    for i, (start, stop) in enumerate(bounds):
        of_token[start:stop] = i
    columns = ColumnLora(layout, torch.cat(made), of_token[:, None] != owners)
    segments = [(start, stop, weights) for (start, stop), weights in zip(bounds, own, strict=True)]
    looped = SegmentLora(segments, LoraStacks(2, dtype), Workspace(CPU))
    generator = torch.Generator().manual_seed(0)
    for i, (inputs, outputs) in enumerate(SHAPES):
        layer, join = divmod(i, len(Projection))
        x = torch.randn(33, inputs, generator=generator).to(dtype)
        out = torch.randn(33, outputs * len(JOINED_SITES[Projection(join)]), generator=generator).to(dtype)
        expected = out.clone()
        columns.add(layer, Projection(join), x, out)
        looped.add(layer, Projection(join), x, expected)
        torch.testing.assert_close(out, expected, rtol=tolerance, atol=tolerance)


def test_an_overflow_stays_with_its_adapter(adapters, base):
    """One adapter's infinity is not another's, nor that of a token without any."""
    layout = ColumnLayout(SHAPES)
    bad = random_adapter(base, 6)
    for a, _ in bad.lora.values():
        a.fill_(3e38)
    made = [AdapterColumns(layout, CPU, torch.float32).of(weights).flatten(0, 1) for weights in (adapters[0], bad)]
    owners = torch.arange(2).repeat_interleave(SLOT_RANK)
    columns = ColumnLora(layout, torch.cat(made), torch.tensor([0, -2, 1])[:, None] != owners)
    alone = ColumnLora(layout, made[0], torch.tensor([0, -2, -2])[:, None] != owners[:SLOT_RANK])
    out, expected = torch.zeros(2, 3, 3 * HIDDEN)
    x = torch.ones(3, HIDDEN)
    columns.add(0, Projection.QKV, x, out)
    alone.add(0, Projection.QKV, x, expected)
    torch.testing.assert_close(out[:2], expected[:2])
    assert not out[2].isfinite().any()


def test_columns_go_with_their_adapter(base):
    """What is kept for an adapter is whole slots, made once, and ends with it."""
    columns = AdapterColumns(ColumnLayout(SHAPES), CPU, torch.float32)
    adapter = random_adapter(base, 4, rank=9)
    kept = columns.of(adapter)
    assert kept.shape == (2, SLOT_RANK, columns.layout.size)
    assert columns.of(adapter) is kept
    del adapter
    gc.collect()
    assert not columns._kept
