"""What a pass makes of an adapter's matrices, made once and kept as long as the adapter is."""

from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from lorb_adapters.lora import AdapterWeights

Made = TypeVar("Made")


class KeptByAdapter(Generic[Made]):
    """One thing for each adapter and key. Nothing is kept of an adapter in training: a trainer writes into it."""

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[AdapterWeights, dict[Hashable, Made]] = WeakKeyDictionary()

    def __iter__(self) -> Iterator[AdapterWeights]:
        """The adapters of which something is kept."""
        return iter(self._kept)

    def __len__(self) -> int:
        """How many adapters these are."""
        return len(self._kept)

    def of(self, weights: AdapterWeights, make: Callable[[], Made], key: Hashable = None) -> Made:
        """What `make` returned for the adapter and key, or returns now."""
        kept = self._kept.get(weights, {})
        if key not in kept:
            kept[key] = make()
            if not any(tensor.requires_grad for tensor in weights.tensors()):
                self._kept[weights] = kept
        return kept[key]
