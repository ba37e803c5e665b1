"""What a pass makes of an adapter's matrices, made once and kept as long as the adapter is."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from lorb_adapters.lora.weights import AdapterWeights

Made = TypeVar("Made")


class WeakAdapterCache(Generic[Made]):
    """One thing for each adapter. Nothing is kept of an adapter in training: a trainer writes into it."""

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[AdapterWeights, Made] = WeakKeyDictionary()

    def __iter__(self) -> Iterator[AdapterWeights]:
        """The adapters of which something is kept."""
        return iter(self._kept)

    def __len__(self) -> int:
        """How many adapters these are."""
        return len(self._kept)

    def of(self, weights: AdapterWeights, make: Callable[[], Made]) -> Made:
        """What `make` returned for the adapter, or returns now."""
        made = self._kept.get(weights)
        if made is None:
            made = make()
            if not any(tensor.requires_grad for tensor in weights.tensors()):
                self._kept[weights] = made
        return made
