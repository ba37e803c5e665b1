"""Buffers that every pass uses again, each as large as the largest pass so far has needed."""

import math

import torch
from torch import Tensor


class Workspace:
    """Uninitialised memory by name; what a view holds is whatever was last written under that name."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._buffers: dict[tuple[str, torch.dtype], Tensor] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A contiguous view of `shape`; it ends the use of earlier views of this name and dtype."""
        size = math.prod(shape)
        buffer = self._buffers.get((name, dtype))
        if buffer is None or buffer.numel() < size:
            self._buffers.pop((name, dtype), None)  # freed first: the old and the new one need not fit together
            buffer = torch.empty(size, dtype=dtype, device=self._device)
            self._buffers[name, dtype] = buffer
        return buffer[:size].view(shape)

    @property
    def size_bytes(self) -> int:
        """Memory that all buffers take."""
        return sum(buffer.numel() * buffer.element_size() for buffer in self._buffers.values())
