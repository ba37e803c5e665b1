"""Adapter slots: CUDA graphs read a few adapters from memory that never moves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from weakref import ReferenceType, WeakKeyDictionary, ref

import numpy as np
import torch

from lorb_adapters.cuda_graphs.slot_lora import SLOT_RANK, SlotLayout, SlottedAdapters, num_slots
from lorb_adapters.lora.weights import AdapterWeights

NUM_SLOTS = 8  # a batch may have eight adapters up to rank 8, four up to rank 16, or one of rank 64


class AdapterSlots:
    """Slots of LoRA matrices, each with a score head. An adapter's head is in its first slot.

    Attributes:
        layout: the layout of `matrices`.
        matrices: the LoRA matrices of all slots, [slots * SLOT_RANK, layout.size].
        head_weights: [slots, hidden] fp32.
        head_biases: [slots] fp32.
    """

    def __init__(
        self, shapes: Sequence[tuple[int, int]], hidden_size: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        """shapes: a pair (inputs, outputs) for each of the four projections of every layer, layer by layer.

        A fused projection counts the outputs of one of its modules.
        """
        self.layout = SlotLayout(shapes)
        self.matrices = torch.zeros(NUM_SLOTS * SLOT_RANK, self.layout.size, dtype=dtype, device=device)
        self.head_weights = torch.zeros(NUM_SLOTS, hidden_size, device=device)
        self.head_biases = torch.zeros(NUM_SLOTS, device=device)
        self._slots = self.matrices.view(NUM_SLOTS, SLOT_RANK, self.layout.size)
        self._adapters = SlottedAdapters(self.layout, device, dtype)
        self._table = SlotTable(NUM_SLOTS)

    def load(self, adapters: Sequence[AdapterWeights]) -> list[tuple[int, ...]] | None:
        """Copies adapters to slots unless they are there already. Returns the slots of each adapter.

        Returns None, and copies nothing, if the adapters need more slots than there are.
        adapters: all different. On CUDA the copies run in the stream's order, after earlier replays.
        """
        assignments = self._table.assign(adapters, [num_slots(weights) for weights in adapters])
        if assignments is None:
            return None
        for weights, assignment in zip(adapters, assignments, strict=True):
            if assignment.is_new:
                self._write(weights, assignment.slots)
        return [assignment.slots for assignment in assignments]

    def _write(self, weights: AdapterWeights, slots: tuple[int, ...]) -> None:
        matrices = self._adapters.get(weights)
        first = slots[0]
        if slots == tuple(range(first, first + len(slots))):
            self._slots[first : first + len(slots)].copy_(matrices)
        else:
            for slot, slot_matrices in zip(slots, matrices, strict=True):
                self._slots[slot].copy_(slot_matrices)
        self.head_weights[first].copy_(weights.head.weight)
        self.head_biases[first].copy_(weights.head.bias)


def rank_owners(slots: Sequence[tuple[int, ...]]) -> np.ndarray:
    """Returns for each rank the first slot of its adapter, [slots * SLOT_RANK] int32; -1 for a rank without adapter.

    slots: the slots of each adapter of a batch.
    """
    owners = np.full(NUM_SLOTS, -1, np.int32)
    for adapter_slots in slots:
        owners[list(adapter_slots)] = adapter_slots[0]
    return owners.repeat(SLOT_RANK)


@dataclass(frozen=True, slots=True)
class Assignment:
    """The slots of an adapter.

    Attributes:
        slots: their numbers, at least one.
        is_new: whether the adapter must be copied to them.
    """

    slots: tuple[int, ...]
    is_new: bool


class SlotTable:
    """Assigns slots to adapters and evicts the least recently used. It keeps no adapter alive."""

    def __init__(self, capacity: int) -> None:
        """capacity: the number of slots."""
        self._slots: WeakKeyDictionary[AdapterWeights, tuple[int, ...]] = WeakKeyDictionary()
        self._owners: list[ReferenceType[AdapterWeights] | None] = [None] * capacity
        self._last_used = [0] * capacity  # the number of the last batch that used each slot
        self._batch = 0

    def assign(self, adapters: Sequence[AdapterWeights], needs: Sequence[int]) -> list[Assignment] | None:
        """Assigns slots to the adapters of one batch. Returns None if they need more slots than there are.

        adapters: all different. needs: the number of slots of each adapter.
        """
        if sum(needs) > len(self._owners):
            return None
        self._batch += 1
        current = [self._slots.get(weights) for weights in adapters]
        for slots in current:
            self._use(slots or ())
        unused = self._unused()
        assignments = []
        for weights, need, slots in zip(adapters, needs, current, strict=True):
            assigned = slots or self._reassign(weights, tuple(next(unused) for _ in range(need)))
            assignments.append(Assignment(assigned, slots is None))
        return assignments

    def _unused(self) -> Iterator[int]:
        """Yields the slots that this batch does not use yet, the least recently used first."""
        unused = [slot for slot, batch in enumerate(self._last_used) if batch != self._batch]
        yield from sorted(unused, key=self._last_used.__getitem__)

    def _reassign(self, weights: AdapterWeights, slots: tuple[int, ...]) -> tuple[int, ...]:
        for slot in slots:
            reference = self._owners[slot]
            owner = reference() if reference is not None else None
            if owner is not None:
                self._slots.pop(owner, None)
            self._owners[slot] = ref(weights)
        self._slots[weights] = slots
        self._use(slots)
        return slots

    def _use(self, slots: Sequence[int]) -> None:
        for slot in slots:
            self._last_used[slot] = self._batch
