"""Declares the metrics about adapters: the store, the weights on the device, canaries and shadows."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from lorb_server.adapter import AdapterHandle

MAX_COMPARED_DOMAINS = 100
OTHERS = "others"
_ALIAS_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


class AdapterMetrics:
    """The metrics about adapters and the store."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._compared_domains: set[str] = set()
        self._declare_store_metrics()
        self._declare_device_metrics()
        self._declare_canary_metrics()
        self._declare_shadow_metrics()

    def add_adapter(self, adapter: AdapterHandle) -> None:
        """Adds the series of an adapter whose weights are now on the device."""
        ref = adapter.ref
        self._info.labels(ref.domain, ref.version, ref.digest).set(1)
        for gauge, value in self._training_scores(adapter):
            gauge.labels(ref.domain, ref.version).set(value)

    def remove_adapter(self, adapter: AdapterHandle) -> None:
        """Removes the series of an adapter whose weights have left the device."""
        ref = adapter.ref
        self._info.remove(ref.domain, ref.version, ref.digest)
        for gauge, _ in self._training_scores(adapter):
            gauge.remove(ref.domain, ref.version)

    def update_refused(self, domain: str, before: Iterable[str], after: Iterable[str]) -> None:
        """Replaces the series of a domain's refused versions."""
        before, after = frozenset(before), frozenset(after)
        for version in before - after:
            self._refused.remove(domain, version)
        for version in after - before:
            self._refused.labels(domain, version).set(1)

    def update_aliases(self, domain: str, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        """Replaces the series of a domain's aliases. `before` and `after` map each alias to the version it serves."""
        for alias, version in before.items() - after.items():
            self._alias.remove(domain, alias, version)
        for alias, version in after.items() - before.items():
            self._alias.labels(domain, alias, version).set(1)

    def update_canary_share(self, domain: str, before: float, after: float) -> None:
        """Replaces a domain's canary share, 0 to 1. A domain whose share is 0 has no series."""
        if after:
            self._canary_share.labels(domain).set(after)
        elif before:
            self._canary_share.remove(domain)

    def observe_alias(
        self, domain: str, alias: str, outcome: str, reason: str = "", seconds: float | None = None
    ) -> None:
        """Counts a list for the comparison of a domain's canary with stable. Does nothing if `alias` is ""."""
        if not alias:
            return
        if domain not in self._compared_domains and len(self._compared_domains) >= MAX_COMPARED_DOMAINS:
            domain = OTHERS
        self._compared_domains.add(domain)
        self._alias_lists.labels(domain, alias, outcome, reason).inc()
        if seconds is not None:
            self._alias_duration.labels(domain, alias).observe(seconds)

    def watch_resident_adapters(self, size_bytes: Callable[[], float], count: Callable[[], float]) -> None:
        """Makes every scrape read the bytes and the number of adapters on the device from these functions."""
        self._resident_bytes.set_function(size_bytes)
        self._residents.set_function(count)

    def _training_scores(self, adapter: AdapterHandle) -> Iterator[tuple[Gauge, float]]:
        if adapter.training_score_mean is not None:
            yield self._training_score, adapter.training_score_mean
        if adapter.training_score_deviation is not None:
            yield self._training_deviation, adapter.training_score_deviation

    def _declare_store_metrics(self) -> None:
        registry = self._registry
        self.loads = Counter(
            "lorb_adapter_loads",
            "Versions read from the store, by the result of the verification: loaded or refused.",
            ("domain", "result"),
            registry=registry,
        )
        self.load_duration = Histogram(
            "lorb_adapter_load_duration_seconds",
            "Time to read one version, verify it and put it on the device.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._refused = Gauge(
            "lorb_adapter_refused",
            "1 for each version that was requested and refused.",
            ("domain", "version"),
            registry=registry,
        )
        self._alias = Gauge(
            "lorb_adapter_alias",
            "1 for each alias and the version that it serves here (the previous one while the store's is refused).",
            ("domain", "alias", "version"),
            registry=registry,
        )
        self.generation = Gauge(
            "lorb_registry_generation", "The generation of the store that was last read in full.", registry=registry
        )
        self.registry_errors = Counter(
            "lorb_registry_errors",
            "Failed readings of the store; the loaded versions keep serving.",
            registry=registry,
        )

    def _declare_device_metrics(self) -> None:
        registry = self._registry
        self._info = Gauge(
            "lorb_adapter_info",
            "1 for each version whose weights are on the device.",
            ("domain", "version", "digest"),
            registry=registry,
        )
        self._training_score = Gauge(
            "lorb_training_first_pass_score",
            "Mean of the first-pass scores (natural log) in the training data of a version on the device.",
            ("domain", "version"),
            registry=registry,
        )
        self._training_deviation = Gauge(
            "lorb_training_first_pass_score_deviation",
            "Standard deviation of the first-pass scores in the training data of a version on the device.",
            ("domain", "version"),
            registry=registry,
        )
        self._resident_bytes = Gauge(
            "lorb_resident_adapter_bytes", "Memory of the adapters on the device.", registry=registry
        )
        self._residents = Gauge("lorb_resident_adapters", "Adapters on the device.", registry=registry)
        self.evictions = Counter(
            "lorb_adapter_evictions", "Adapters removed from the device to make room for others.", registry=registry
        )
        self.reloads = Counter(
            "lorb_adapter_bring_backs",
            "Evicted adapters read again because a call needed them, by result: loaded or failed.",
            ("result",),
            registry=registry,
        )
        self.reload_duration = Histogram(
            "lorb_adapter_bring_back_duration_seconds",
            "Time to read an evicted adapter, verify it and put it on the device again.",
            buckets=_SECONDS,
            registry=registry,
        )

    def _declare_canary_metrics(self) -> None:
        self.canary_requests = self._domain_counter("lorb_canary_requests", "Lists sent to the canary.")
        self.canary_withdrawals = self._domain_counter(
            "lorb_canary_withdrawals", "Canaries withdrawn because they failed."
        )
        self._canary_share = Gauge(
            "lorb_canary_share",
            "Share of the domain's calls that the canary gets, 0 to 1.",
            ("domain",),
            registry=self._registry,
        )

        self._alias_lists = Counter(
            "lorb_alias_requests",
            "Lists of domains whose canary takes a share, by alias (stable or canary) and outcome; failed: the canary "
            f"failed, and stable answered. Domains beyond the first {MAX_COMPARED_DOMAINS} are '{OTHERS}'.",
            ("domain", "alias", "outcome", "reason"),
            registry=self._registry,
        )
        self._alias_duration = Histogram(
            "lorb_alias_duration_seconds",
            "Time of a list of a domain whose canary takes a share, by alias: stable or canary.",
            ("domain", "alias"),
            buckets=_ALIAS_SECONDS,
            registry=self._registry,
        )

    def _declare_shadow_metrics(self) -> None:
        self.shadow_comparisons = self._domain_counter("lorb_shadow_comparisons", "Lists that the shadow scored too.")
        self.shadow_disagreements = self._domain_counter(
            "lorb_shadow_disagreements", "Compared lists for which the shadow chose another best text."
        )
        self.shadow_dropped = self._domain_counter(
            "lorb_shadow_dropped",
            "Lists that the shadow did not score, because the model had no idle time or too many lists waited.",
        )
        self.shadow_failures = self._domain_counter(
            "lorb_shadow_failures", "Lists on which the shadow failed, or to which it gave scores that are not finite."
        )

    def _domain_counter(self, name: str, help: str) -> Counter:  # noqa: A002 - prometheus_client's own name
        return Counter(name, help, ("domain",), registry=self._registry)
