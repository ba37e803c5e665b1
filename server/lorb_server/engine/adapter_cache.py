"""Caches adapters' weights on the device, bounded in bytes; evicted weights are reloaded on demand."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from lorb.errors import InvalidAdapter, LorbError, Unavailable
from lorb.ranked import AdapterRef
from lorb_adapters.lora.weights import AdapterWeights
from lorb_server.adapter import AdapterHandle
from lorb_server.engine.device import is_out_of_memory
from lorb_server.single_flight import BACK_OFF_SECONDS, SingleFlight
from lorb_server.telemetry.adapter_metrics import AdapterMetrics
from lorb_server.telemetry.logs import log_failure

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Cached:
    adapter: AdapterHandle
    weights: AdapterWeights
    size_bytes: int


class AdapterCache:
    """The weights of each adapter. Belongs to the event loop; files are read on the executor `threads`.

    A batch keeps the weights that it uses: weights that are evicted during the batch are freed only after the batch.
    Until then, such weights take memory beyond `max_bytes`, and so do weights that are being read. The weights of an
    adapter that is dropped are kept as long as a call holds the adapter's handle.

    Attributes:
        max_bytes: the most bytes of cached weights. The weights added last stay even if they alone exceed it.
        size_bytes: bytes of the cached weights; permanent weights are not counted.
    """

    def __init__(
        self,
        read: Callable[[AdapterHandle], AdapterWeights],
        threads: Executor,
        metrics: AdapterMetrics,
        max_bytes: int,
        *,
        size_of: Callable[[AdapterWeights], int],
        back_off_seconds: float = BACK_OFF_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`read` verifies weights and loads them from the store onto the device. It may block or raise LorbError.

        size_of: returns the bytes of device memory that weights take while they are served.
        """
        self.max_bytes = max_bytes
        self.size_bytes = 0
        self._read = read
        self._size_of = size_of
        self._threads = threads
        self._metrics = metrics
        self._clock = clock
        self._cached: OrderedDict[AdapterRef, _Cached] = OrderedDict()  # the least recently used adapter first
        self._permanent: dict[AdapterRef, AdapterWeights] = {}
        # the weights of dropped adapters; None if they were not on the device
        self._dropped: WeakKeyDictionary[AdapterHandle, AdapterWeights | None] = WeakKeyDictionary()
        self._largest_bytes = 0
        self._loads: SingleFlight[AdapterRef, AdapterWeights] = SingleFlight(
            back_off_seconds=back_off_seconds, clock=clock
        )
        metrics.watch_resident_adapters(lambda: self.size_bytes, lambda: len(self._cached))

    def __len__(self) -> int:
        return len(self._cached)

    def __contains__(self, ref: object) -> bool:
        """Whether an adapter's weights are on the device. Unlike `get`, this does not count as a use."""
        return ref in self._cached or ref in self._permanent

    def has_room_for(self, num_adapters: int) -> bool:
        """Whether this many adapters, each as large as the largest so far, could be added without an eviction.

        While no adapter's size is known, there is room for one.
        """
        if not self._largest_bytes and num_adapters > 1:
            return False
        return self.size_bytes + num_adapters * self._largest_bytes <= self.max_bytes > self.size_bytes

    def get(self, adapter: AdapterHandle) -> AdapterWeights | None:
        """The adapter's weights; None if they are not on the device."""
        cached = self._cached.get(adapter.ref)
        if cached is None:
            return self._permanent.get(adapter.ref) or self._dropped.get(adapter)
        self._cached.move_to_end(adapter.ref)
        return cached.weights

    async def reload(self, adapter: AdapterHandle) -> AdapterWeights:
        """Returns the adapter's weights. If they have left the device, they are read and verified again.

        Concurrent callers for one adapter share one read. For `back_off_seconds` after a failed read, callers get the
        error of that read without another attempt. Raises the LorbError of a failed read.
        """
        return self.get(adapter) or await self._loads.join(adapter.ref, lambda: self._load(adapter))

    def put(self, adapter: AdapterHandle, weights: AdapterWeights) -> None:
        """Adds weights as the most recently used. Evicts other weights while the cache exceeds `max_bytes`."""
        self._forget(adapter)
        size_bytes = self._size_of(weights)
        self._cached[adapter.ref] = _Cached(adapter, weights, size_bytes)
        self.size_bytes += size_bytes
        self._largest_bytes = max(self._largest_bytes, size_bytes)
        self._metrics.add_adapter(adapter)
        while self.size_bytes > self.max_bytes and len(self._cached) > 1:
            self._remove(next(iter(self._cached)))
            self._metrics.evictions.inc()

    def put_permanent(self, adapter: AdapterHandle, weights: AdapterWeights) -> None:
        """Adds weights that are never evicted, such as the base's own head. `size_bytes` does not count them."""
        self._permanent[adapter.ref] = weights
        self._metrics.add_adapter(adapter)

    def drop(self, adapter: AdapterHandle) -> None:
        """Removes an adapter, for which no new call comes, and forgets a failed read of its weights.

        A call that holds the handle still gets the weights.
        """
        cached = self._cached.get(adapter.ref)
        self._forget(adapter)
        self._dropped[adapter] = None if cached is None else cached.weights

    async def close(self) -> None:
        """Cancels the reads in progress."""
        await self._loads.close()

    async def _load(self, adapter: AdapterHandle) -> AdapterWeights:
        started = self._clock()
        try:
            weights = await asyncio.get_running_loop().run_in_executor(self._threads, self._read_safely, adapter)
        except LorbError as error:
            self._metrics.reloads.labels("failed").inc()
            _log.error("reloading an adapter failed", extra={"fields": {**_names(adapter), "reason": error.message}})
            raise
        self._metrics.reloads.labels("loaded").inc()
        self._metrics.reload_duration.observe(self._clock() - started)
        if adapter in self._dropped:
            self._dropped[adapter] = weights
        else:
            self.put(adapter, weights)
        return weights

    def _read_safely(self, adapter: AdapterHandle) -> AdapterWeights:
        """Reads the weights. Turns any other error into a LorbError, whose message omits the other error's message."""
        try:
            return self._read(adapter)
        except LorbError:
            raise
        except Exception as error:
            log_failure(_log, "reloading an adapter failed", error, **_names(adapter))
            if is_out_of_memory(error):
                raise Unavailable("there is no memory to reload the adapter: try again") from error
            raise InvalidAdapter(f"reading the adapter raised {type(error).__name__}: see the server's log") from error

    def _forget(self, adapter: AdapterHandle) -> None:
        self._loads.forget(adapter.ref)
        if adapter.ref in self._cached:
            self._remove(adapter.ref)

    def _remove(self, ref: AdapterRef) -> None:
        cached = self._cached.pop(ref)
        self.size_bytes -= cached.size_bytes
        self._metrics.remove_adapter(cached.adapter)


def _names(adapter: AdapterHandle) -> dict[str, str]:
    return {"domain": adapter.ref.domain, "version": adapter.ref.version}
