"""Dropout whose draws depend on the seed, the step and the pass alone, so that a resumed run draws the same."""

import hashlib

import torch
from torch import Tensor


class Dropout:
    """One pass' draws, in the order in which they are asked for."""

    def __init__(self, probability: float, device: torch.device, *key: int) -> None:
        """key: what the draws depend on, such as seed, step, process and pass."""
        digest = hashlib.sha256(repr(key).encode()).digest()
        self._keep = 1.0 - probability
        self._generator = torch.Generator(device=device).manual_seed(int.from_bytes(digest[:7], "big"))

    def mask(self, x: Tensor) -> Tensor:
        """What `x` is multiplied with: 0 where it is dropped, 1 / (1 - probability) elsewhere."""
        return torch.empty_like(x).bernoulli_(self._keep, generator=self._generator).div_(self._keep)

    def __call__(self, x: Tensor) -> Tensor:
        """`x` with its draws applied."""
        return x * self.mask(x)
