"""A few adapters where captured passes read them: columns and heads in memory that never moves."""

from collections.abc import Sequence

import numpy as np
import torch

from lorb_adapters.cuda_graphs.lora_columns import SLOT_RANK, AdapterColumns, ColumnLayout, num_slots
from lorb_adapters.cuda_graphs.slot_table import SlotTable
from lorb_adapters.lora.weights import AdapterWeights

NUM_SLOTS = 8  # in one pass: eight adapters up to rank 8, four up to rank 16, one of rank 64


class AdapterSlots:
    """Slots of columns, each with a head; an adapter's own head is in its first slot.

    Attributes:
        layout: of the columns.
        columns: [slots * SLOT_RANK, layout.size].
        head_weights: [slots, hidden] fp32.
        head_biases: [slots] fp32.
    """

    def __init__(
        self, shapes: Sequence[tuple[int, int]], hidden_size: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        """shapes: [layers * 4], the (inputs, outputs of a part) of every join, layer by layer."""
        self.layout = ColumnLayout(shapes)
        self.columns = torch.zeros(NUM_SLOTS * SLOT_RANK, self.layout.size, dtype=dtype, device=device)
        self.head_weights = torch.zeros(NUM_SLOTS, hidden_size, device=device)
        self.head_biases = torch.zeros(NUM_SLOTS, device=device)
        self._slots = self.columns.view(NUM_SLOTS, SLOT_RANK, self.layout.size)
        self._adapters = AdapterColumns(self.layout, device, dtype)
        self._table = SlotTable(NUM_SLOTS)

    def bring(self, adapters: Sequence[AdapterWeights]) -> list[tuple[int, ...]] | None:
        """The slots of each adapter, all different, those not there yet copied in; None where they are too many.

        On CUDA the copies run in the stream's order: behind the passes that read what was there.
        """
        assigned = self._table.assign(adapters, [num_slots(weights) for weights in adapters])
        if assigned is None:
            return None
        for weights, place in zip(adapters, assigned, strict=True):
            if place.is_new:
                self._write(weights, place.slots)
        return [place.slots for place in assigned]

    def _write(self, weights: AdapterWeights, slots: tuple[int, ...]) -> None:
        columns = self._adapters.of(weights)
        first = slots[0]
        if slots == tuple(range(first, first + len(slots))):
            self._slots[first : first + len(slots)].copy_(columns)
        else:
            for slot, of_slot in zip(slots, columns, strict=True):
                self._slots[slot].copy_(of_slot)
        self.head_weights[first].copy_(weights.head.weight)
        self.head_biases[first].copy_(weights.head.bias)


def owners_of_columns(slots: Sequence[tuple[int, ...]]) -> np.ndarray:
    """[slots * SLOT_RANK], the first slot of the adapter that each column belongs to; -1 where none of these."""
    owners = np.full(NUM_SLOTS, -1, np.int32)
    for of_adapter in slots:
        owners[list(of_adapter)] = of_adapter[0]
    return owners.repeat(SLOT_RANK)
