"""Memory that batches reuse: the workspace's buffers, and values cached by adapter."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import torch

from lorb_adapters.encoder.memory import WeakAdapterCache, Workspace
from lorb_adapters.lora.config import LoraConfig
from lorb_adapters.lora.head import HeadWeights
from lorb_adapters.lora.weights import AdapterWeights


def adapter(*, in_training=False):
    pair = torch.zeros(8, 32, requires_grad=in_training), torch.zeros(32, 8, requires_grad=in_training)
    return AdapterWeights(LoraConfig(), {"encoder.layer.0.output.dense": pair}, HeadWeights.zeros("sum", 32))


def test_a_smaller_view_uses_the_memory_of_the_larger():
    """A smaller request after a larger one allocates nothing; a larger one replaces the buffer."""
    workspace = Workspace(torch.device("cpu"))
    large = workspace.buffer("x", (4, 8), torch.float32)
    small = workspace.buffer("x", (3, 2), torch.float32)
    assert small.shape == (3, 2)
    assert small.is_contiguous()
    assert small.data_ptr() == large.data_ptr()
    assert workspace.size_bytes == 4 * 8 * 4
    workspace.buffer("x", (5, 8), torch.float32)
    assert workspace.size_bytes == 5 * 8 * 4


def test_names_and_dtypes_have_their_own_memory():
    """Values written under one name or dtype are not visible under another."""
    workspace = Workspace(torch.device("cpu"))
    first = workspace.buffer("x", (4,), torch.float32).fill_(1)
    workspace.buffer("y", (4,), torch.float32).fill_(2)
    workspace.buffer("x", (4,), torch.bfloat16).fill_(3)
    assert first.tolist() == [1] * 4


def test_a_value_is_built_once_for_each_adapter():
    """A second request returns the same value; another adapter with equal weights gets its own."""
    cache: WeakAdapterCache[object] = WeakAdapterCache()
    ours, theirs = adapter(), adapter()
    first = cache.get_or_build(ours, object)
    assert cache.get_or_build(ours, object) is first
    assert cache.get_or_build(theirs, object) is not first


def test_threads_build_a_value_once():
    """Eight threads that ask at the same moment get one value, which one of them builds."""
    cache: WeakAdapterCache[object] = WeakAdapterCache()
    ours, start, built = adapter(), threading.Barrier(8), []

    def build():
        built.append(object())
        return built[-1]

    def get(_):
        start.wait()
        return cache.get_or_build(ours, build)

    with ThreadPoolExecutor(8) as threads:
        values = set(threads.map(get, range(8)))
    assert values == set(built)
    assert len(built) == 1


def test_nothing_is_cached_for_an_adapter_in_training():
    """The value of an adapter whose tensors have gradients is built anew each time."""
    cache: WeakAdapterCache[object] = WeakAdapterCache()
    ours = adapter(in_training=True)
    assert cache.get_or_build(ours, object) is not cache.get_or_build(ours, object)


def test_a_value_is_freed_with_its_adapter():
    """An unloaded adapter leaves nothing in the cache."""
    cache: WeakAdapterCache[object] = WeakAdapterCache()
    ours = adapter()
    cache.get_or_build(ours, object)
    assert list(cache) == [ours]
    del ours
    gc.collect()
    assert len(cache) == 0
