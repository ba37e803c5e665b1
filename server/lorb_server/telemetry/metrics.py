"""Declares the server's metrics.

Units are seconds and bytes, names begin with `lorb_`, and no label value comes from a text in a request. The metrics
about adapters and about callers are declared in `adapter_metrics` and `caller_metrics`.
"""

from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from lorb.ranked import FallbackReason, Outcome, Timings
from lorb_server.call import Priority
from lorb_server.telemetry.adapter_metrics import AdapterMetrics
from lorb_server.telemetry.caller_metrics import CallerMetrics
from lorb_server.telemetry.model_metrics import ModelMetrics

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_TOKENS = tuple(float(2**power) for power in range(4, 18))
_LISTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


class Metrics:
    """All metrics of one process, in a registry of its own.

    The label `domain` is a served domain, or empty. The label `lane` is a priority's value: single, bulk, idle or
    verification.

    Attributes:
        registry: holds every metric.
        adapters: the metrics about adapters.
        callers: the metrics about callers.
        model: the metrics about the workers.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._declare_call_metrics()
        self._declare_batch_metrics()
        self._declare_server_metrics()
        self.adapters = AdapterMetrics(self.registry)
        self.callers = CallerMetrics(self.registry)
        self.model = ModelMetrics(self.registry)

    def _declare_call_metrics(self) -> None:
        registry = self.registry
        self.requests = Counter(
            "lorb_rescore_requests",
            "Lists answered, by outcome: rescored, partial, first_pass or error.",
            ("domain", "outcome", "reason"),
            registry=registry,
        )
        self.duration = Histogram(
            "lorb_rescore_duration_seconds",
            "Time of a list, by stage (total, tokenize, queue, infer) and by lane (single, or bulk for BatchRescore).",
            ("stage", "lane"),
            buckets=_SECONDS,
            registry=registry,
        )
        self.hypotheses = Counter(
            "lorb_rescore_hypotheses",
            "Hypotheses, by kind: scored, cached, deduplicated (equal to another in the list) or skipped.",
            ("domain", "kind"),
            registry=registry,
        )
        self.truncated = Counter(
            "lorb_truncated_hypotheses",
            "Hypotheses longer than the model's limit; only their beginning was scored.",
            ("domain",),
            registry=registry,
        )
        self._first_pass_lists = Counter(
            "lorb_first_pass_lists", "Lists with first-pass scores.", ("domain",), registry=registry
        )
        self._first_pass_magnitude = Counter(
            "lorb_first_pass_score_magnitude",
            "Sum of the absolute values of the lists' mean first-pass scores, by sign: positive or negative.",
            ("domain", "sign"),
            registry=registry,
        )
        self.rank_changed = Counter(
            "lorb_rank_changed",
            "Lists whose best hypothesis is not the best one of the first pass.",
            ("domain",),
            registry=registry,
        )
        self.invalid_scores = Counter(
            "lorb_invalid_scores",
            "Lists with a score that is not finite.",
            ("domain",),
            registry=registry,
        )
        self.abandoned = Counter(
            "lorb_rescore_abandoned",
            "Lists removed from the queue because their call was cancelled or reached its deadline.",
            registry=registry,
        )

    def _declare_batch_metrics(self) -> None:
        registry = self.registry
        self._batch_tokens = Histogram(
            "lorb_batch_tokens", "Tokens in one batch of the model.", buckets=_TOKENS, registry=registry
        )
        self._batch_lists = Histogram("lorb_batch_lists", "Lists in one batch.", buckets=_LISTS, registry=registry)
        self._batch_adapters = Histogram(
            "lorb_batch_adapters", "Adapters in one batch.", buckets=_LISTS, registry=registry
        )
        self._batch_deduplicated = Counter(
            "lorb_batch_deduplicated_rows",
            "Hypotheses not scored because the batch already has an equal hypothesis.",
            registry=registry,
        )
        self.failed_passes = Counter(
            "lorb_failed_passes",
            "Passes of the model that raised an error; a failed batch is split and scored again.",
            registry=registry,
        )
        self.out_of_memory = Counter(
            "lorb_out_of_memory_passes",
            "Passes of the model that ran out of memory; their hypotheses are split and scored again.",
            registry=registry,
        )
        self.cuda_graphs = Gauge("lorb_cuda_graphs", "CUDA graphs in use for small batches.", registry=registry)
        self.cuda_graph_failures = Counter(
            "lorb_cuda_graph_failures",
            "Times that CUDA graphs were disabled, by reason: record, mismatch or launch.",
            ("reason",),
            registry=registry,
        )
        self.cache_lookups = Counter(
            "lorb_score_cache_lookups",
            "Texts looked up in the score cache, by result: hit or miss.",
            ("result",),
            registry=registry,
        )
        self._cache_bytes = Gauge("lorb_score_cache_bytes", "Memory of the score cache.", registry=registry)
        self._queue_tokens = Gauge("lorb_queue_tokens", "Tokens in the queue.", registry=registry)
        self._queue_age = Gauge(
            "lorb_queue_oldest_age_seconds",
            "Age of the oldest list that waits or is being scored, by lane: single, bulk, idle or verification.",
            ("lane",),
            registry=registry,
        )

    def _declare_server_metrics(self) -> None:
        registry = self.registry
        self.internal_errors = Counter(
            "lorb_internal_errors",
            "Calls and lists that failed with an unexpected error, which is logged.",
            registry=registry,
        )
        self.log_lines_dropped = Counter(
            "lorb_log_lines_dropped",
            "Log lines dropped because stderr was read too slowly or could not be written.",
            registry=registry,
        )
        self.front_restarts = Counter(
            "lorb_front_restarts", "Front processes restarted after they died.", registry=registry
        )
        self._fronts = Gauge("lorb_fronts", "Front processes that take calls.", registry=registry)
        self.build_info = Gauge(
            "lorb_build_info",
            "Always 1; the labels are the server's version and its base.",
            ("version", "base", "base_fingerprint", "device", "dtype"),
            registry=registry,
        )
        self._serving = Gauge(
            "lorb_serving", "1 while health is SERVING: after the warm-up and before the drain.", registry=registry
        )

    def observe_call(
        self, domain: str, priority: Priority, outcome: Outcome, reason: FallbackReason | None, timings: Timings
    ) -> None:
        """Counts one answered list and observes the durations of the stages that the list went through."""
        self.requests.labels(domain, outcome.value, reason.value if reason else "").inc()
        self._observe_stage("total", priority, timings.total_seconds)
        if timings.tokenize_seconds:
            self._observe_stage("tokenize", priority, timings.tokenize_seconds)
        if timings.infer_seconds:
            self._observe_stage("queue", priority, timings.queue_seconds)
            self._observe_stage("infer", priority, timings.infer_seconds)

    def observe_first_pass(self, domain: str, mean_score: float) -> None:
        """Adds a list's mean first-pass score (natural log) to one of two sums: of positive or of negative scores.

        Both sums add absolute values and never decrease: Prometheus would take a decrease for a restarted counter.
        """
        self._first_pass_lists.labels(domain).inc()
        self._first_pass_magnitude.labels(domain, "positive").inc(max(mean_score, 0.0))
        self._first_pass_magnitude.labels(domain, "negative").inc(max(-mean_score, 0.0))

    def _observe_stage(self, stage: str, priority: Priority, seconds: float) -> None:
        self.duration.labels(stage, priority.value).observe(seconds)

    def observe_batch(self, *, tokens: int, lists: int, adapters: int, deduplicated: int) -> None:
        """Observes one batch that the model scored. `deduplicated` hypotheses were equal to others in the batch."""
        self._batch_tokens.observe(tokens)
        self._batch_lists.observe(lists)
        self._batch_adapters.observe(adapters)
        self._batch_deduplicated.inc(deduplicated)

    def watch_cache(self, size_bytes: Callable[[], float]) -> None:
        """Makes every scrape read the score cache's size from this function."""
        self._cache_bytes.set_function(size_bytes)

    def watch_fronts(self, count: Callable[[], float]) -> None:
        """Makes every scrape read the number of fronts that take calls from this function."""
        self._fronts.set_function(count)

    def watch_health(self, is_serving: Callable[[], bool]) -> None:
        """Makes every scrape read from this function whether health is SERVING."""
        self._serving.set_function(lambda: float(is_serving()))

    def watch_queue(self, tokens: Callable[[], float], oldest_age_seconds: Callable[[Priority], float]) -> None:
        """Makes every scrape read the queue's tokens and the oldest list's age from these functions."""
        self._queue_tokens.set_function(tokens)
        for priority in Priority:
            self._queue_age.labels(priority.value).set_function(partial(oldest_age_seconds, priority))
