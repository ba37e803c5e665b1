"""Plain memory from which numbers go to the device while the next ones are written."""

import numpy as np
import torch
from torch import Tensor


class PinnedBuffers:
    """Two buffers by turns: one may be on its way while the other is filled. Not thread-safe."""

    def __init__(self, size: int, device: torch.device) -> None:
        """size: int32 numbers in the largest copy."""
        self._is_cuda = device.type == "cuda"
        self._buffers = [torch.zeros(size, dtype=torch.int32, pin_memory=self._is_cuda) for _ in range(2)]
        self._sent: list[torch.cuda.Event | None] = [None, None]
        self._turn = 0

    def take(self) -> np.ndarray:
        """The buffer to write into, [size]; waits for its last copy, which was two sendings ago."""
        sent = self._sent[self._turn]
        if sent is not None:
            sent.synchronize()
        there: np.ndarray = self._buffers[self._turn].numpy()
        return there

    def send(self, into: Tensor) -> None:
        """Starts the copy of what was written to `into`, int32 on the device, in the stream's order."""
        into.copy_(self._buffers[self._turn][: len(into)], non_blocking=True)
        if self._is_cuda:
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record()
            self._sent[self._turn] = event
        self._turn = 1 - self._turn
