"""The metrics of the whole server: the engine process's metrics plus the samples of the fronts."""

import asyncio
from collections.abc import Iterable
from concurrent.futures import CancelledError

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from lorb_server.fronts.connection import HEARTBEAT_SECONDS
from lorb_server.fronts.fronts import Fronts
from lorb_server.fronts.samples import Samples, with_samples


class SummedMetrics(Collector):
    """Asks the fronts for samples at every scrape. `collect` must not be called on the event loop's thread."""

    def __init__(self, own: CollectorRegistry, fronts: Fronts, loop: asyncio.AbstractEventLoop) -> None:
        self.registry = CollectorRegistry()
        self._own = own
        self._fronts = fronts
        self._loop = loop
        self.registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """The metric families, for scrapes that ask for some families only."""
        return self._own.collect()

    def collect(self) -> Iterable[Metric]:
        """The metric families with their current values."""
        return with_samples(self._own.collect(), self._fronts_samples())

    def _fronts_samples(self) -> Samples:
        try:
            measuring = asyncio.run_coroutine_threadsafe(self._fronts.measure(), self._loop)
            return measuring.result(2 * HEARTBEAT_SECONDS)
        except (TimeoutError, CancelledError, RuntimeError):  # the event loop is busy, or has ended
            return self._fronts.samples()
