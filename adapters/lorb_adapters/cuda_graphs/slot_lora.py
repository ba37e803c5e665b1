"""LoRA in CUDA graphs: multiplies by all adapter slots, so that a batch's adapters do not change any shape."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lorb_adapters.encoder.memory import WeakAdapterCache
from lorb_adapters.encoder.projections import Projection, lora_matrices, num_modules, projection_number
from lorb_adapters.lora.weights import AdapterWeights

SLOT_RANK = 8  # the ranks of a slot: 8 numbers of 16 bits take 16 bytes, the alignment that matrix kernels need


class SlotLayout:
    """The layout of one rank as a vector of `size` numbers: its row of every A, and its column of every scaling * B.

    An adapter is one matrix [rank, size]; stacked adapters are one matrix too.
    """

    def __init__(self, shapes: Sequence[tuple[int, int]]) -> None:
        """shapes: a pair (inputs, outputs) for each of the four projections of every layer, layer by layer.

        A fused projection counts the outputs of one of its modules.
        """
        self._blocks = [(num_modules(number), *sizes) for number, sizes in enumerate(shapes)]
        self.size = sum(count * (inputs + outputs) for count, inputs, outputs in self._blocks)

    def views(self, matrices: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Returns, for each projection, A [modules, ranks, inputs] and B [modules, ranks, outputs], as views.

        matrices: [ranks, size].
        """
        views, position = [], 0
        for modules, *sizes in self._blocks:
            pair = []
            for size in sizes:
                block = matrices[:, position : position + modules * size]
                pair.append(block.view(len(matrices), modules, size).transpose(0, 1))
                position += modules * size
            views.append((pair[0], pair[1]))
        return views


class SlottedAdapters:
    """Caches each adapter in the slots' layout, its rank rounded up to whole slots, until the adapter is freed."""

    def __init__(self, layout: SlotLayout, device: torch.device, dtype: torch.dtype) -> None:
        self.layout = layout
        self._device = device
        self._dtype = dtype
        self._cache: WeakAdapterCache[Tensor] = WeakAdapterCache()

    def get(self, weights: AdapterWeights) -> Tensor:
        """Returns the adapter's matrices, [slots, SLOT_RANK, size].

        They are zero for modules that are not adapted, and for ranks that the adapter does not have.
        """
        return self._cache.get_or_build(weights, lambda: self._build(weights))

    def _build(self, weights: AdapterWeights) -> Tensor:
        shape = (num_slots(weights) * SLOT_RANK, self.layout.size)
        matrices = torch.zeros(shape, dtype=self._dtype, device=self._device)
        rank = weights.config.rank
        for number, (slot_a, slot_b) in enumerate(self.layout.views(matrices)):
            for module, a, b in lora_matrices(weights, number):
                slot_a[module, :rank] = a
                slot_b[module, :rank] = (b.float() * weights.config.scaling).T
        return matrices.view(-1, SLOT_RANK, self.layout.size)


class SlotLora:
    """Implements projections.LoraProducts: multiplies every token by all slots.

    For each token, keeps only the ranks of its own adapter.
    """

    def __init__(self, layout: SlotLayout, matrices: Tensor, foreign: Tensor) -> None:
        """matrices: [ranks, size] in `layout`; foreign: [tokens, ranks], true where a rank is another adapter's."""
        self._views = layout.views(matrices)
        self._foreign = foreign

    def add(self, layer: int, projection: Projection, x: Tensor, out: Tensor) -> None:
        """Adds scaling * B A x to each token of `out` [tokens, outputs]; x: [tokens, inputs]."""
        a, b = self._views[projection_number(layer, projection)]
        low_rank = torch.bmm(x.expand(len(a), *x.shape), a.mT)  # [modules, tokens, ranks]
        # masks instead of multiplying by zero: another adapter's infinity times zero would be NaN
        low_rank.masked_fill_(self._foreign, 0.0)
        out.view(len(out), len(b), -1).transpose(0, 1).baddbmm_(low_rank, b)


def num_slots(weights: AdapterWeights) -> int:
    """Returns the number of slots that an adapter takes: at least one, for its head."""
    return -(-weights.config.rank // SLOT_RANK) if weights.lora else 1
