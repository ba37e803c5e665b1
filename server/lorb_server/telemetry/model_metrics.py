"""Declares the metrics about the model thread."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge


class ModelMetrics:
    """The metrics about the model thread.

    Attributes:
        stuck: how often the model thread was stuck; the server then ends.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.stuck = Counter(
            "lorb_model_stuck", "Times that the model thread was stuck; the server then ends.", registry=registry
        )
        self._busy_seconds = Gauge(
            "lorb_model_busy_seconds",
            "Time that the model has spent on the pass or other work that it runs now; 0 while it is idle.",
            registry=registry,
        )

    def watch_busy_seconds(self, busy_seconds: Callable[[], float]) -> None:
        """Makes every scrape read from this function how long the running work has taken."""
        self._busy_seconds.set_function(busy_seconds)
