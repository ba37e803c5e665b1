"""The numbers by which fronts and engine name adapters. A number lasts as long as a front may use it.

The engine counts how often it has sent a number to a front. A front keeps an adapter's handle only in its cached routes
and its calls; when the last of them is gone, the front releases the number as often as it has received it.
"""

import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from lorb.ranked import AdapterRef
from lorb_server.adapter import AdapterHandle


@dataclass(slots=True)
class _Numbered:
    adapter: AdapterHandle
    uses: int = 0


class AdapterNumbers:
    """The adapters that fronts hold, by number. Belongs to the engine process."""

    def __init__(self) -> None:
        self._numbered: dict[int, _Numbered] = {}
        self._numbers: dict[AdapterRef, int] = {}
        self._next = 1

    def __len__(self) -> int:
        return len(self._numbered)

    def hold(self, adapter: AdapterHandle) -> int:
        """Counts one more use of the adapter, and returns its number, from 1."""
        number = self._numbers.get(adapter.ref)
        if number is None:
            number, self._next = self._next, self._next + 1
            self._numbers[adapter.ref] = number
            self._numbered[number] = _Numbered(adapter)
        numbered = self._numbered[number]
        numbered.adapter = adapter
        numbered.uses += 1
        return number

    def release(self, number: int, uses: int) -> None:
        """Counts `uses` fewer uses; without any, the adapter has no number any more."""
        numbered = self._numbered[number]
        numbered.uses -= uses
        if not numbered.uses:
            del self._numbered[number]
            del self._numbers[numbered.adapter.ref]

    def get(self, number: int) -> AdapterHandle | None:
        """The adapter with this number; None if no front holds it."""
        numbered = self._numbered.get(number)
        return None if numbered is None else numbered.adapter


class FrontHolds:
    """The numbers that one front holds. Belongs to the engine process."""

    def __init__(self, numbers: AdapterNumbers) -> None:
        self._numbers = numbers
        self._uses: Counter[int] = Counter()

    def hold(self, adapter: AdapterHandle) -> int:
        """The number to send to the front."""
        number = self._numbers.hold(adapter)
        self._uses[number] += 1
        return number

    def release(self, number: int, uses: int) -> None:
        """The front no longer uses a number that it received `uses` times. A larger count means all of them."""
        uses = min(uses, self._uses[number])
        self._uses[number] -= uses
        if not self._uses[number]:
            del self._uses[number]
        if uses:
            self._numbers.release(number, uses)

    def release_all(self) -> None:
        """The front has ended."""
        for number, uses in list(self._uses.items()):
            self.release(number, uses)


class HeldAdapters:
    """The adapters that the routes and calls of this front hold. Belongs to the front process."""

    def __init__(self, release: Callable[[int, int], None]) -> None:
        """`release(number, uses)` is called, on any thread, when an adapter that was received is no longer held."""
        self._release = release
        self._by_number: weakref.WeakValueDictionary[int, AdapterHandle] = weakref.WeakValueDictionary()
        self._uses: weakref.WeakKeyDictionary[AdapterHandle, list[int]] = weakref.WeakKeyDictionary()

    def receive(self, number: int, adapter: AdapterHandle) -> AdapterHandle:
        """Records an adapter under the number that the engine sent. Returns the handle that is held for this number."""
        held = self._by_number.get(number)
        if held is None:
            held = self._by_number[number] = adapter
            uses = self._uses[held] = [number, 0]
            weakref.finalize(held, self._forget, uses).atexit = False
        self._uses[held][1] += 1
        return held

    def number(self, adapter: AdapterHandle) -> int:
        """The number of an adapter that was received; 0 for any other."""
        uses = self._uses.get(adapter)
        return 0 if uses is None else uses[0]

    def _forget(self, uses: list[int]) -> None:
        number, count = uses
        self._release(number, count)
