"""What is kept of an adapter, and for how long."""

import gc

import torch

from lorb_adapters.encoder.weak_adapter_cache import WeakAdapterCache
from lorb_adapters.lora.head import HeadWeights
from lorb_adapters.lora.weights import AdapterWeights, LoraConfig


def adapter(*, trains=False):
    pair = torch.zeros(8, 32, requires_grad=trains), torch.zeros(32, 8, requires_grad=trains)
    return AdapterWeights(LoraConfig(), {"encoder.layer.0.output.dense": pair}, HeadWeights.zeros("sum", 32))


def test_it_is_made_once_for_each_adapter():
    """For another adapter with the same values it is made anew."""
    kept: WeakAdapterCache[object] = WeakAdapterCache()
    ours, theirs = adapter(), adapter()
    first = kept.of(ours, object)
    assert kept.of(ours, object) is first
    assert kept.of(theirs, object) is not first


def test_nothing_is_kept_of_an_adapter_in_training():
    """Its values change under what was made of them."""
    kept: WeakAdapterCache[object] = WeakAdapterCache()
    ours = adapter(trains=True)
    assert kept.of(ours, object) is not kept.of(ours, object)


def test_it_goes_when_the_adapter_goes():
    """An unloaded adapter leaves no copies behind."""
    kept: WeakAdapterCache[object] = WeakAdapterCache()
    ours = adapter()
    kept.of(ours, object)
    assert list(kept) == [ours]
    del ours
    gc.collect()
    assert len(kept) == 0
