"""Declares the metrics about the workers."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge


class ModelMetrics:
    """The metrics about the workers.

    Attributes:
        workers: the number of workers.
        stuck: how often a worker was stuck; the server then ends.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.stuck = Counter(
            "lorb_model_stuck",
            "Times that a worker was stuck: a pass took longer than 20 times its prediction and at least 10 s (120 s "
            "before any pass was measured), other work longer than 10 s, or the warm-up longer than 600 s. The server "
            "then ends.",
            registry=registry,
        )
        self._busy_seconds = Gauge(
            "lorb_model_busy_seconds",
            "How long the pass or other work that has run longest on a worker has taken; 0 while all are idle.",
            registry=registry,
        )

        self.workers = Gauge("lorb_model_workers", "Workers, which score batches at the same time.", registry=registry)
        self._scratch_bytes = Gauge(
            "lorb_model_scratch_bytes",
            "Memory of the buffers that passes reuse, of all workers together; the weights are not in it.",
            registry=registry,
        )

    def watch_scratch_bytes(self, scratch_bytes: Callable[[], float]) -> None:
        """Makes every scrape read from this function how much memory the workers' buffers take."""
        self._scratch_bytes.set_function(scratch_bytes)

    def watch_busy_seconds(self, busy_seconds: Callable[[], float]) -> None:
        """Makes every scrape read from this function how long the running work has taken."""
        self._busy_seconds.set_function(busy_seconds)
