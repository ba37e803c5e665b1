"""The adapters' weights on the device: bounded in bytes, the least recently used ones leave and come back."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from lorb.errors import InvalidAdapter, LorbError, Unavailable
from lorb.ranked import AdapterRef
from lorb_adapters.lora.weights import AdapterWeights
from lorb_server.adapter import AdapterHandle
from lorb_server.engine.batch import is_out_of_memory
from lorb_server.single_flight import BACK_OFF_SECONDS, SingleFlight
from lorb_server.telemetry.adapter_metrics import AdapterMetrics
from lorb_server.telemetry.logs import log_failure

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Resident:
    adapter: AdapterHandle
    weights: AdapterWeights
    size_bytes: int


class AdapterCache:
    """Weights by adapter. Belongs to the event loop; files are read on `threads`.

    A pass holds the weights that it works with, so one that leaves in the middle of it is freed afterwards. What
    those passes hold, and what is being read, comes on top of `max_bytes`.
    """

    def __init__(
        self,
        read: Callable[[AdapterHandle], AdapterWeights],
        threads: Executor,
        metrics: AdapterMetrics,
        max_bytes: int,
        *,
        back_off_seconds: float = BACK_OFF_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`read` gets verified weights from the store onto the device; it may block, and raises LorbError."""
        self.max_bytes = max_bytes
        self.size_bytes = 0
        self._read = read
        self._threads = threads
        self._metrics = metrics
        self._clock = clock
        self._residents: OrderedDict[AdapterRef, _Resident] = OrderedDict()  # the least recently used first
        self._permanent: dict[AdapterRef, AdapterWeights] = {}
        self._largest_bytes = 0
        self._loads: SingleFlight[AdapterRef, AdapterWeights] = SingleFlight(
            back_off_seconds=back_off_seconds, clock=clock
        )
        metrics.watch_residents(lambda: self.size_bytes, lambda: len(self._residents))

    def __len__(self) -> int:
        return len(self._residents)

    def __contains__(self, ref: object) -> bool:
        """Whether an adapter is on the device; unlike `get` this is no use of it."""
        return ref in self._residents or ref in self._permanent

    @property
    def has_room(self) -> bool:
        """Whether another adapter, as large as the largest so far, would push nobody out."""
        return self.size_bytes + self._largest_bytes <= self.max_bytes and self.size_bytes < self.max_bytes

    def get(self, adapter: AdapterHandle) -> AdapterWeights | None:
        """Its weights on the device; None if they have left it."""
        resident = self._residents.get(adapter.ref)
        if resident is None:
            return self._permanent.get(adapter.ref)
        self._residents.move_to_end(adapter.ref)
        return resident.weights

    async def reload(self, adapter: AdapterHandle) -> AdapterWeights:
        """Its weights, read and verified again where they have left; raises LorbError where that fails.

        Callers of one adapter share one reading. After a failure the store is left alone for a moment, in which
        callers get the same error.
        """
        return self.get(adapter) or await self._loads.join(adapter.ref, lambda: self._bring_back(adapter))

    def put(self, adapter: AdapterHandle, weights: AdapterWeights) -> None:
        """Takes weights in as the latest used; others leave where the bytes run out, but never these."""
        self.drop(adapter)
        size_bytes = weights.served_bytes
        self._residents[adapter.ref] = _Resident(adapter, weights, size_bytes)
        self.size_bytes += size_bytes
        self._largest_bytes = max(self._largest_bytes, size_bytes)
        self._metrics.adapter_arrived(adapter)
        while self.size_bytes > self.max_bytes and len(self._residents) > 1:
            self._remove(next(iter(self._residents)))
            self._metrics.evictions.inc()

    def keep(self, adapter: AdapterHandle, weights: AdapterWeights) -> None:
        """Takes weights in for good, outside the bound: those of the base's own head, which no store has."""
        self._permanent[adapter.ref] = weights
        self._metrics.adapter_arrived(adapter)

    def drop(self, adapter: AdapterHandle) -> None:
        """Lets go of the weights of an adapter that is not served any more."""
        self._loads.forget(adapter.ref)
        if adapter.ref in self._residents:
            self._remove(adapter.ref)

    async def close(self) -> None:
        """Gives up what is being read."""
        await self._loads.close()

    async def _bring_back(self, adapter: AdapterHandle) -> AdapterWeights:
        started = self._clock()
        try:
            weights = await asyncio.get_running_loop().run_in_executor(self._threads, self._read_same, adapter)
        except LorbError as error:
            self._metrics.bring_backs.labels("failed").inc()
            _log.error(
                "an adapter could not be brought back", extra={"fields": {**_names(adapter), "reason": error.message}}
            )
            raise
        self._metrics.bring_backs.labels("loaded").inc()
        self._metrics.bring_back_duration.observe(self._clock() - started)
        self.put(adapter, weights)
        return weights

    def _read_same(self, adapter: AdapterHandle) -> AdapterWeights:
        try:
            return self._read(adapter)
        except LorbError:
            raise
        except Exception as error:
            log_failure(_log, "an adapter could not be brought back", error, **_names(adapter))
            if is_out_of_memory(error):
                raise Unavailable("there was no memory to bring the adapter back; try again") from error
            raise InvalidAdapter(f"reading it raised {type(error).__name__}; the log tells where") from error

    def _remove(self, ref: AdapterRef) -> None:
        resident = self._residents.pop(ref)
        self.size_bytes -= resident.size_bytes
        self._metrics.adapter_left(resident.adapter)


def _names(adapter: AdapterHandle) -> dict[str, str]:
    return {"domain": adapter.ref.domain, "version": adapter.ref.version}
