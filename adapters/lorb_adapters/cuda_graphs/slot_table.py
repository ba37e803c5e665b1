"""Which slots hold which adapters: those used last stay."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from weakref import ReferenceType, WeakKeyDictionary, ref

from lorb_adapters.lora.weights import AdapterWeights


@dataclass(frozen=True, slots=True)
class Assignment:
    """Where an adapter is.

    Attributes:
        slots: their numbers, one at least.
        is_new: whether it is still to be written there.
    """

    slots: tuple[int, ...]
    is_new: bool


class SlotTable:
    """Keeps no adapter alive: one that is gone gives its slots back."""

    def __init__(self, num_slots: int) -> None:
        self._held: WeakKeyDictionary[AdapterWeights, tuple[int, ...]] = WeakKeyDictionary()
        self._owners: list[ReferenceType[AdapterWeights] | None] = [None] * num_slots
        self._last_used = [0] * num_slots  # number of the pass
        self._pass = 0

    def assign(self, adapters: Sequence[AdapterWeights], needs: Sequence[int]) -> list[Assignment] | None:
        """Where the adapters of one pass are, all different; None where they are too many. needs: slots of each."""
        if sum(needs) > len(self._owners):
            return None
        self._pass += 1
        held = [self._held.get(weights) for weights in adapters]
        for slots in held:
            self._use(slots or ())
        oldest_first = self._unused()
        assigned = []
        for weights, need, slots in zip(adapters, needs, held, strict=True):
            taken = slots or self._give(weights, tuple(next(oldest_first) for _ in range(need)))
            assigned.append(Assignment(taken, slots is None))
        return assigned

    def _unused(self) -> Iterator[int]:
        """The slots that this pass did not use when the first is asked for, those unused for longest first."""
        unused = [slot for slot, used in enumerate(self._last_used) if used != self._pass]
        yield from sorted(unused, key=self._last_used.__getitem__)

    def _give(self, weights: AdapterWeights, slots: tuple[int, ...]) -> tuple[int, ...]:
        for slot in slots:
            owner = self._owners[slot]
            before = owner() if owner is not None else None
            if before is not None:
                self._held.pop(before, None)
            self._owners[slot] = ref(weights)
        self._held[weights] = slots
        self._use(slots)
        return slots

    def _use(self, slots: Sequence[int]) -> None:
        for slot in slots:
            self._last_used[slot] = self._pass
