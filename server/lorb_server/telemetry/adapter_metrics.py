"""What the server counts about adapters: which are there, how they came, canaries and comparisons."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from lorb_server.adapter import AdapterHandle

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


class AdapterMetrics:
    """The series about adapters and the store."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._add_store_series()
        self._add_resident_series()
        self._add_canary_series()
        self._add_shadow_series()

    def adapter_arrived(self, adapter: AdapterHandle) -> None:
        """Shows an adapter whose weights are on the device now."""
        ref = adapter.ref
        self._info.labels(ref.domain, ref.version, ref.digest).set(1)
        for gauge, value in self._training_scores(adapter):
            gauge.labels(ref.domain, ref.version).set(value)

    def adapter_left(self, adapter: AdapterHandle) -> None:
        """Takes its series away."""
        ref = adapter.ref
        self._info.remove(ref.domain, ref.version, ref.digest)
        for gauge, _ in self._training_scores(adapter):
            gauge.remove(ref.domain, ref.version)

    def show_refused(self, domain: str, before: Iterable[str], after: Iterable[str]) -> None:
        """Shows a domain's refused versions, and no longer those that were."""
        before, after = frozenset(before), frozenset(after)
        for version in before - after:
            self._refused.remove(domain, version)
        for version in after - before:
            self._refused.labels(domain, version).set(1)

    def show_aliases(self, domain: str, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        """Shows the version that each alias of a domain serves, and no longer what it served before."""
        for alias, version in before.items() - after.items():
            self._alias.remove(domain, alias, version)
        for alias, version in after.items() - before.items():
            self._alias.labels(domain, alias, version).set(1)

    def show_canary(self, domain: str, before: float, after: float) -> None:
        """Shows the share of a domain's calls that its canary takes; none where that is 0."""
        if after:
            self._canary_share.labels(domain).set(after)
        elif before:
            self._canary_share.remove(domain)

    def watch_residents(self, size_bytes: Callable[[], float], count: Callable[[], float]) -> None:
        """Reads the residents' gauges from these functions, whenever somebody asks."""
        self._resident_bytes.set_function(size_bytes)
        self._residents.set_function(count)

    def _training_scores(self, adapter: AdapterHandle) -> Iterator[tuple[Gauge, float]]:
        if adapter.training_score_mean is not None:
            yield self._training_score, adapter.training_score_mean
        if adapter.training_score_deviation is not None:
            yield self._training_deviation, adapter.training_score_deviation

    def _add_store_series(self) -> None:
        registry = self._registry
        self.loads = Counter(
            "lorb_adapter_loads",
            "Versions read from the store and verified, by result: loaded or refused.",
            ("domain", "result"),
            registry=registry,
        )
        self.load_duration = Histogram(
            "lorb_adapter_load_duration_seconds",
            "Reading, checking and staging one version.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._refused = Gauge(
            "lorb_adapter_refused",
            "1 for each version of the store that was asked for and refused.",
            ("domain", "version"),
            registry=registry,
        )
        self._alias = Gauge(
            "lorb_adapter_alias",
            "1 for each alias, with the version that it serves here; behind the store's where a new one is refused.",
            ("domain", "alias", "version"),
            registry=registry,
        )
        self.generation = Gauge("lorb_registry_generation", "The store's generation served.", registry=registry)
        self.registry_errors = Counter(
            "lorb_registry_errors",
            "Readings of the store that failed; what was loaded keeps serving.",
            registry=registry,
        )

    def _add_resident_series(self) -> None:
        registry = self._registry
        self._info = Gauge(
            "lorb_adapter_info",
            "1 for each version whose weights are on the device.",
            ("domain", "version", "digest"),
            registry=registry,
        )
        self._training_score = Gauge(
            "lorb_training_first_pass_score",
            "Mean first-pass score that a version on the device was trained with.",
            ("domain", "version"),
            registry=registry,
        )
        self._training_deviation = Gauge(
            "lorb_training_first_pass_score_deviation",
            "Standard deviation of the first-pass scores that a version on the device was trained with.",
            ("domain", "version"),
            registry=registry,
        )
        self._resident_bytes = Gauge(
            "lorb_resident_adapter_bytes", "Memory that adapters take on the device.", registry=registry
        )
        self._residents = Gauge("lorb_resident_adapters", "Adapters on the device.", registry=registry)
        self.evictions = Counter(
            "lorb_adapter_evictions", "Adapters that left the device to make room for others.", registry=registry
        )
        self.bring_backs = Counter(
            "lorb_adapter_bring_backs",
            "Adapters read again because a call needed them, by result: loaded or failed.",
            ("result",),
            registry=registry,
        )
        self.bring_back_duration = Histogram(
            "lorb_adapter_bring_back_duration_seconds",
            "Reading an adapter again, until it is on the device.",
            buckets=_SECONDS,
            registry=registry,
        )

    def _add_canary_series(self) -> None:
        self.canary_requests = self._of_domain("lorb_canary_requests", "Lists that were sent to the canary.")
        self.canary_withdrawals = self._of_domain("lorb_canary_withdrawals", "Canaries withdrawn because they failed.")
        self._canary_share = Gauge(
            "lorb_canary_share", "Share of the calls that the canary takes.", ("domain",), registry=self._registry
        )

    def _add_shadow_series(self) -> None:
        self.shadow_comparisons = self._of_domain("lorb_shadow_comparisons", "Lists scored by the shadow too.")
        self.shadow_disagreements = self._of_domain(
            "lorb_shadow_disagreements", "Of those, lists that the shadow would have given another best text."
        )
        self.shadow_dropped = self._of_domain(
            "lorb_shadow_dropped", "Lists that the shadow did not get to: nothing was idle, or too many waited."
        )
        self.shadow_failures = self._of_domain(
            "lorb_shadow_failures", "Lists that the shadow failed on, or gave scores that are not finite."
        )

    def _of_domain(self, name: str, help: str) -> Counter:  # noqa: A002 - as prometheus_client calls it
        return Counter(name, help, ("domain",), registry=self._registry)
