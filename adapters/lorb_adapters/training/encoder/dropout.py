"""Dropout whose draws depend only on seed, step, process and forward pass, so a resumed run repeats the draws."""

import hashlib

import torch
from torch import Tensor


class Dropout:
    """The dropout of one forward pass; each call draws a new mask, so masks depend on the order of the calls."""

    def __init__(self, probability: float, device: torch.device, *key: int) -> None:
        """key: numbers that seed the draws, such as seed, step, process and forward pass."""
        self._key = key
        digest = hashlib.sha256(repr(key).encode()).digest()
        self._keep_probability = 1.0 - probability
        self._generator = torch.Generator(device=device).manual_seed(int.from_bytes(digest[:7], "big"))

    def of_part(self, number: int) -> "Dropout":
        """Returns the dropout of a part of the forward pass; part 0 has the draws of the whole."""
        if number == 0:
            return self
        return Dropout(1.0 - self._keep_probability, self._generator.device, *self._key, number)

    def mask(self, x: Tensor) -> Tensor:
        """Returns a factor for each element of `x`: 0 to drop it, else 1 / (1 - probability)."""
        keep = self._keep_probability
        return torch.empty_like(x).bernoulli_(keep, generator=self._generator).div_(keep)

    def __call__(self, x: Tensor) -> Tensor:
        """Returns `x` with some elements set to 0 and the others scaled up."""
        return x * self.mask(x)
