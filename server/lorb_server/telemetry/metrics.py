"""What the server counts and times, for Prometheus: base units, one prefix, no label a caller can invent."""

import socket
from collections.abc import Callable
from functools import partial
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    start_http_server,
)

from lorb.errors import InvalidInput
from lorb.ranked import FallbackReason, Outcome, Timings
from lorb_server.call import Priority
from lorb_server.telemetry.adapter_metrics import AdapterMetrics
from lorb_server.telemetry.caller_metrics import CallerMetrics

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_TOKENS = tuple(float(2**power) for power in range(4, 18))
_LISTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


class Metrics:
    """All series of one server, in a registry of its own. A `domain` label is one served, or empty."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._add_call_series()
        self._add_pass_series()
        self._add_build_series()
        self.adapters = AdapterMetrics(self.registry)
        self.callers = CallerMetrics(self.registry)

    def _add_call_series(self) -> None:
        registry = self.registry
        self.requests = Counter(
            "lorb_rescore_requests",
            "Lists answered, by outcome: rescored, partial, first_pass or error.",
            ("domain", "outcome", "reason"),
            registry=registry,
        )
        self.duration = Histogram(
            "lorb_rescore_duration_seconds",
            "Time of a list, by stage: total, tokenize, queue or infer; lane bulk: lists of BatchRescore.",
            ("stage", "lane"),
            buckets=_SECONDS,
            registry=registry,
        )
        self.hypotheses = Counter(
            "lorb_rescore_hypotheses",
            "Hypotheses, by kind: scored, cached, deduplicated (copies) or skipped.",
            ("domain", "kind"),
            registry=registry,
        )
        self.truncated = Counter(
            "lorb_truncated_hypotheses",
            "Hypotheses too long for the model, scored in part.",
            ("domain",),
            registry=registry,
        )
        self._first_pass_lists = Counter(
            "lorb_first_pass_lists", "Lists that came with first-pass scores.", ("domain",), registry=registry
        )
        self._first_pass_magnitude = Counter(
            "lorb_first_pass_score_magnitude",
            "Their mean first-pass scores without the sign, added up by sign: positive or negative.",
            ("domain", "sign"),
            registry=registry,
        )
        self.rank_changed = Counter(
            "lorb_rank_changed",
            "Lists whose best hypothesis is not the first pass' best.",
            ("domain",),
            registry=registry,
        )
        self.invalid_scores = Counter(
            "lorb_invalid_scores",
            "Lists for which the model produced a score that is not finite.",
            ("domain",),
            registry=registry,
        )
        self.abandoned = Counter(
            "lorb_rescore_abandoned",
            "Lists that left the queue because nobody waited any more.",
            registry=registry,
        )
        self.internal_errors = Counter(
            "lorb_internal_errors",
            "Calls and lists that failed with an error nobody foresaw; the log tells where.",
            registry=registry,
        )

        self.front_restarts = Counter(
            "lorb_front_restarts", "Front processes that died and were started again.", registry=registry
        )
        self._fronts = Gauge("lorb_fronts", "Front processes that take calls.", registry=registry)

    def _add_pass_series(self) -> None:
        registry = self.registry
        self._batch_tokens = Histogram("lorb_batch_tokens", "Tokens in one batch.", buckets=_TOKENS, registry=registry)
        self._batch_lists = Histogram("lorb_batch_lists", "Lists in one batch.", buckets=_LISTS, registry=registry)
        self._batch_adapters = Histogram(
            "lorb_batch_adapters", "Adapters in one batch.", buckets=_LISTS, registry=registry
        )
        self._batch_deduplicated = Counter(
            "lorb_batch_deduplicated_rows",
            "Rows that another list of the batch had already.",
            registry=registry,
        )
        self.failed_passes = Counter("lorb_failed_passes", "Passes of the model that raised.", registry=registry)
        self.out_of_memory = Counter(
            "lorb_out_of_memory_passes", "Passes the device had no memory for, done in halves.", registry=registry
        )
        self.cuda_graphs = Gauge(
            "lorb_cuda_graphs", "Small passes that are recorded as CUDA graphs and in use.", registry=registry
        )
        self.cuda_graph_failures = Counter(
            "lorb_cuda_graph_failures",
            "Times that recorded passes were given up, for the ordinary ones.",
            ("reason",),
            registry=registry,
        )
        self.cache_lookups = Counter(
            "lorb_score_cache_lookups",
            "Texts looked up in the score cache: hit or miss.",
            ("result",),
            registry=registry,
        )
        self._cache_bytes = Gauge("lorb_score_cache_bytes", "Memory the score cache takes.", registry=registry)
        self._queue_tokens = Gauge("lorb_queue_tokens", "Tokens that wait for the model.", registry=registry)
        self._queue_age = Gauge(
            "lorb_queue_oldest_age_seconds",
            "How long the longest-waiting list of a lane waits: single, bulk, or idle (the shadow's).",
            ("lane",),
            registry=registry,
        )

    def _add_build_series(self) -> None:
        registry = self.registry
        self.build_info = Gauge(
            "lorb_build_info",
            "1, with what this server is.",
            ("version", "base", "base_fingerprint", "device", "dtype"),
            registry=registry,
        )
        self._serving = Gauge(
            "lorb_serving", "1 while health says SERVING: warm, and not told to end.", registry=registry
        )

    def observe_call(
        self, domain: str, lane: Priority, outcome: Outcome, reason: FallbackReason | None, timings: Timings
    ) -> None:
        """Notes one list answered."""
        self.requests.labels(domain, outcome.value, reason.value if reason else "").inc()
        self._observe_stage("total", lane, timings.total_seconds)
        if timings.tokenize_seconds:
            self._observe_stage("tokenize", lane, timings.tokenize_seconds)
        if timings.infer_seconds:
            self._observe_stage("queue", lane, timings.queue_seconds)
            self._observe_stage("infer", lane, timings.infer_seconds)

    def observe_first_pass(self, domain: str, mean_score: float) -> None:
        """Notes a list's mean first-pass score: by its sign, for a sum that falls reads as one that began anew."""
        self._first_pass_lists.labels(domain).inc()
        self._first_pass_magnitude.labels(domain, "positive").inc(max(mean_score, 0.0))
        self._first_pass_magnitude.labels(domain, "negative").inc(max(-mean_score, 0.0))

    def _observe_stage(self, stage: str, lane: Priority, seconds: float) -> None:
        self.duration.labels(stage, lane.value).observe(seconds)

    def observe_pass(self, *, tokens: int, lists: int, adapters: int, deduplicated: int) -> None:
        """Notes one batch that the model scored."""
        self._batch_tokens.observe(tokens)
        self._batch_lists.observe(lists)
        self._batch_adapters.observe(adapters)
        self._batch_deduplicated.inc(deduplicated)

    def watch_cache(self, size_bytes: Callable[[], float]) -> None:
        """Reads the score cache's size from this function, whenever somebody asks."""
        self._cache_bytes.set_function(size_bytes)

    def watch_fronts(self, count: Callable[[], float]) -> None:
        """Reads the number of fronts that take calls from this function, whenever somebody asks."""
        self._fronts.set_function(count)

    def watch_health(self, is_serving: Callable[[], bool]) -> None:
        """Reads whether the server serves from this function, whenever somebody asks."""
        self._serving.set_function(lambda: float(is_serving()))

    def watch_queue(self, tokens: Callable[[], float], oldest_age_seconds: Callable[[Priority], float]) -> None:
        """Reads the queue's gauges from these functions, whenever somebody asks."""
        self._queue_tokens.set_function(tokens)
        for lane in Priority:
            self._queue_age.labels(lane.value).set_function(partial(oldest_age_seconds, lane))


class MetricsServer:
    """Serves one registry over HTTP, on threads of its own."""

    def __init__(self, registry: CollectorRegistry, host: str, port: int) -> None:
        """Raises InvalidInput where the address cannot be bound."""
        try:
            self._server: WSGIServer
            self._server, self._thread = start_http_server(port, host, registry)
        except (OSError, socket.gaierror) as error:
            raise InvalidInput(f"--metrics-port {port} on {host}: {error.strerror}", field="metrics_port") from error
        self.port: int = self._server.server_port

    def close(self) -> None:
        """Stops serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
