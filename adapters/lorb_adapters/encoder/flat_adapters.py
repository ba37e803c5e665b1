"""Adapters as vectors of one layout, which stack to one tensor for a whole pass."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lorb_adapters.encoder.lora_matrices import JOINED_SITES, Projection
from lorb_adapters.encoder.weak_adapter_cache import WeakAdapterCache
from lorb_adapters.lora.weights import AdapterWeights

RANK_STEP = 8  # a grouped product wants strides of whole 16 bytes: 8 elements of 16 bits

# The shapes of A [parts, rank, inputs] and of B [parts, outputs, rank] at one join.
_Block = tuple[tuple[int, int, int], tuple[int, int, int]]


class FlatAdapters:
    """Each adapter as one vector: A and scaling * B of every join in turn, missing sites zero.

    Kept as long as the adapter is, at its own padded rank and so about as large again: a vector for every rank that it
    shares a pass with would be kept for each of them.
    """

    def __init__(self, shapes: Sequence[tuple[int, int]], device: torch.device, dtype: torch.dtype) -> None:
        """shapes: [layers * 4], the (inputs, outputs of a part) of every join, layer by layer."""
        self._shapes = shapes
        self._device = device
        self._dtype = dtype
        self._kept: WeakAdapterCache[Tensor] = WeakAdapterCache()

    def stack(self, adapters: Sequence[AdapterWeights | None], rank: int) -> list[tuple[Tensor, Tensor]]:
        """For each layer and join A [adapters, parts, rank, inputs] and B [adapters, parts, outputs, rank].

        rank: at least every adapter's `padded_rank`; None is an adapter of zeros.
        """
        blocks = self._blocks(rank)
        return _views(torch.stack([self._vector(weights, rank) for weights in adapters]), blocks)

    def _blocks(self, rank: int) -> list[_Block]:
        parts = [len(JOINED_SITES[Projection(i % len(Projection))]) for i in range(len(self._shapes))]
        return [
            ((count, rank, inputs), (count, outputs, rank))
            for count, (inputs, outputs) in zip(parts, self._shapes, strict=True)
        ]

    def _vector(self, weights: AdapterWeights | None, rank: int) -> Tensor:
        if weights is None or not weights.lora:
            return self._zeros(rank)
        own_rank = padded_rank(weights)
        vector = self._kept.of(weights, lambda: self._flatten(weights, own_rank))
        return vector if own_rank == rank else self._widened(vector, own_rank, rank)

    def _widened(self, vector: Tensor, own_rank: int, rank: int) -> Tensor:
        """The vector of the same adapter as one of a higher rank."""
        wide = self._zeros(rank)
        own = _views(vector[None], self._blocks(own_rank))
        for (a, b), (a_there, b_there) in zip(own, _views(wide[None], self._blocks(rank)), strict=True):
            a_there[:, :, :own_rank] = a
            b_there[..., :own_rank] = b
        return wide

    def _zeros(self, rank: int) -> Tensor:
        size = sum(math.prod(shape) for block in self._blocks(rank) for shape in block)
        return torch.zeros(size, dtype=self._dtype, device=self._device)

    def _flatten(self, weights: AdapterWeights, rank: int) -> Tensor:
        flat = self._zeros(rank)
        for i, (a_there, b_there) in enumerate(_views(flat[None], self._blocks(rank))):
            layer, join = divmod(i, len(Projection))
            for part, site in enumerate(JOINED_SITES[Projection(join)]):
                pair = weights.lora.get(f"encoder.layer.{layer}.{site}")
                if pair is not None:
                    a, b = pair
                    a_there[0, part, : a.shape[0]] = a
                    b_there[0, part, :, : a.shape[0]] = b * weights.config.scaling
        return flat


def padded_rank(weights: AdapterWeights) -> int:
    """An adapter's rank in whole steps, [1, 8] being 8."""
    return math.ceil(weights.config.rank / RANK_STEP) * RANK_STEP


def _views(flat: Tensor, blocks: Sequence[_Block]) -> list[tuple[Tensor, Tensor]]:
    """A and B of every block, [adapters, parts, ...], as views of `flat`, [adapters, size]."""
    views, at = [], 0
    for shapes in blocks:
        pair = []
        for shape in shapes:
            size = math.prod(shape)
            pair.append(flat[:, at : at + size].view(len(flat), *shape))
            at += size
        views.append((pair[0], pair[1]))
    return views
