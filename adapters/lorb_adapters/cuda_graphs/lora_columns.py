"""Adapters side by side in products whose shapes never change, whichever adapters they are."""

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from lorb_adapters.encoder.lora_matrices import JOINED_SITES, Projection
from lorb_adapters.lora.weights import AdapterWeights

SLOT_RANK = 8  # columns of a slot: 16 bytes in 16 bits, which matrix kernels want


class ColumnLayout:
    """A unit of an adapter's rank as one vector: its row of every A, and its column of every scaling * B.

    An adapter is then one matrix [rank, size], and so are several, one below the other.
    """

    def __init__(self, shapes: Sequence[tuple[int, int]]) -> None:
        """shapes: [layers * 4], the (inputs, outputs of a part) of every join, layer by layer."""
        parts = [len(JOINED_SITES[Projection(i % len(Projection))]) for i in range(len(shapes))]
        self._blocks = [(count, *sizes) for count, sizes in zip(parts, shapes, strict=True)]
        self.size = sum(count * (inputs + outputs) for count, inputs, outputs in self._blocks)

    def matrices(self, columns: Tensor) -> list[tuple[Tensor, Tensor]]:
        """For each layer and join A [parts, columns, inputs] and B [parts, columns, outputs], views of `columns`.

        columns: [columns, size].
        """
        views, at = [], 0
        for parts, *sizes in self._blocks:
            pair = []
            for size in sizes:
                block = columns[:, at : at + parts * size]
                pair.append(block.view(len(columns), parts, size).transpose(0, 1))
                at += parts * size
            views.append((pair[0], pair[1]))
        return views


class AdapterColumns:
    """Each adapter as whole slots of columns, kept as long as the adapter is, and as large again."""

    def __init__(self, layout: ColumnLayout, device: torch.device, dtype: torch.dtype) -> None:
        self.layout = layout
        self._device = device
        self._dtype = dtype
        self._kept: WeakKeyDictionary[AdapterWeights, Tensor] = WeakKeyDictionary()

    def of(self, weights: AdapterWeights) -> Tensor:
        """[slots, SLOT_RANK, size]; missing sites and ranks are zero."""
        columns = self._kept.get(weights)
        if columns is None:
            columns = self._kept[weights] = self._made(weights)
        return columns

    def _made(self, weights: AdapterWeights) -> Tensor:
        shape = (num_slots(weights) * SLOT_RANK, self.layout.size)
        columns = torch.zeros(shape, dtype=self._dtype, device=self._device)
        rank = weights.config.rank
        for i, (a_there, b_there) in enumerate(self.layout.matrices(columns)):
            layer, join = divmod(i, len(Projection))
            for part, site in enumerate(JOINED_SITES[Projection(join)]):
                pair = weights.lora.get(f"encoder.layer.{layer}.{site}")
                if pair is not None:
                    a_there[part, :rank] = pair[0]
                    b_there[part, :rank] = (pair[1].float() * weights.config.scaling).T
        return columns.view(-1, SLOT_RANK, self.layout.size)


class ColumnLora:
    """LoraBranches of a pass in which every token keeps the columns of its own adapter."""

    def __init__(self, layout: ColumnLayout, columns: Tensor, others: Tensor) -> None:
        """columns: [columns, size] as `layout` has it; others: [tokens, columns], where they are not the token's."""
        self._matrices = layout.matrices(columns)
        self._others = others

    def add(self, layer: int, join: Projection, x: Tensor, out: Tensor) -> None:
        """As LoraBranches has it."""
        a, b = self._matrices[len(Projection) * layer + join]
        low_rank = torch.bmm(x.expand(len(a), *x.shape), a.mT)  # [parts, tokens, columns]
        # not a product with zeros: one adapter's infinity is not to become another's NaN
        low_rank.masked_fill_(self._others, 0.0)
        out.view(len(out), len(b), -1).transpose(0, 1).baddbmm_(low_rank, b)


def num_slots(weights: AdapterWeights) -> int:
    """How many slots an adapter takes: one at least, for its head."""
    return max(1, -(-weights.config.rank // SLOT_RANK)) if weights.lora else 1
