"""The memory that a served adapter takes: its tensors and the copies that batches cache."""

import pytest

from lorb_adapters.base.loader import load_base
from lorb_adapters.cuda_graphs.slot_lora import SlotLayout, SlottedAdapters
from lorb_adapters.encoder.lora_cuda_grouped import padded_rank
from lorb_adapters.encoder.packed_encoder import PackedEncoder
from lorb_adapters.lora.config import ALL_LINEAR
from support.adapters.random_adapters import random_adapter


@pytest.mark.parametrize("targets", [ALL_LINEAR, ("query", "value")])
@pytest.mark.parametrize("rank", [1, 12])
def test_served_bytes_count_the_cached_matrices(tiny_bert, targets, rank):
    """`served_bytes` is the adapter's memory plus that of each copy, also of copies with zeros for other modules."""
    base = load_base(str(tiny_bert))
    adapter = random_adapter(base, targets=targets, rank=rank)
    ours = PackedEncoder(base.encoder)
    zero_filled = [tensor for pair in ours._zero_filled.get(adapter) for tensor in pair]
    assert ours._zero_filled.size_bytes(adapter) == unshared_bytes(adapter, zero_filled)
    by_segment = [tensor for each in ours._by_segment.get(adapter) if each is not None for tensor in (each.a, *each.b)]
    assert ours._by_segment.size_bytes(adapter) == unshared_bytes(adapter, by_segment)
    assert ours.served_bytes(adapter) == adapter.size_bytes + unshared_bytes(adapter, by_segment)
    ours._flat.stack([adapter], padded_rank(adapter))
    [flat] = ours._flat._cache._values.values()
    layout = SlotLayout(ours.projection_shapes)
    slots = SlottedAdapters(layout, flat.device, flat.dtype).get(adapter)
    assert ours._flat.size_bytes(adapter) == flat.nbytes == slots.nbytes


def unshared_bytes(adapter, tensors):
    """The memory of all tensors that do not use an adapter's own."""
    own = {tensor.untyped_storage().data_ptr() for tensor in adapter.tensors()}
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(size for place, size in storages.items() if place not in own)
