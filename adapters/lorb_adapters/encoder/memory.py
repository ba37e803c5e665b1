"""Memory that batches reuse: buffers by name, and tensors derived from an adapter."""

import math
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from lorb_adapters.lora.weights import AdapterWeights

T = TypeVar("T")


class Workspace:
    """Named buffers, each as large as the largest request for it so far. A new buffer's values are arbitrary."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._buffers: dict[tuple[str, torch.dtype], Tensor] = {}

    def buffer(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Returns a contiguous view of `shape`. It may share memory with earlier views of this name and dtype."""
        size = math.prod(shape)
        buffer = self._buffers.get((name, dtype))
        if buffer is None or buffer.numel() < size:
            self._buffers.pop((name, dtype), None)  # frees the old buffer first: memory may not have room for both
            buffer = torch.empty(size, dtype=dtype, device=self._device)
            self._buffers[name, dtype] = buffer
        return buffer[:size].view(shape)

    @property
    def size_bytes(self) -> int:
        """Memory of all buffers, in bytes. Any thread may read it."""
        return sum(buffer.numel() * buffer.element_size() for buffer in list(self._buffers.values()))


class WeakAdapterCache(Generic[T]):
    """One derived value per adapter, kept until the adapter is freed. Threads may share a cache.

    Nothing is cached for an adapter in training, because the trainer changes its values.
    """

    def __init__(self) -> None:
        self._values: WeakKeyDictionary[AdapterWeights, T] = WeakKeyDictionary()
        self._building = threading.Lock()

    def __iter__(self) -> Iterator[AdapterWeights]:
        """Iterates over the adapters with a cached value."""
        return iter(self._values)

    def __len__(self) -> int:
        """Returns the number of cached values."""
        return len(self._values)

    def get_or_build(self, weights: AdapterWeights, build: Callable[[], T]) -> T:
        """Returns the cached value; without one, the value that `build` returns.

        A thread waits while another thread builds a value, so that no value is built twice.
        """
        value = self._values.get(weights)
        if value is not None:
            return value
        if any(tensor.requires_grad for tensor in weights.tensors()):
            return build()
        with self._building:
            value = self._values.get(weights)
            if value is None:
                value = self._values[weights] = build()
            return value
