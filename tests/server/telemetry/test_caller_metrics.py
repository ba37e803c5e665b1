"""lorb_server.telemetry.caller_metrics: a bounded number of caller labels."""

from prometheus_client import CollectorRegistry

from lorb_server.telemetry.caller_metrics import MAX_CALLERS, MAX_NAME_CHARS, OTHERS, CallerMetrics


def test_callers_beyond_the_first_hundred_share_a_label():
    """Callers after the first hundred are counted as "others"; known callers keep their label."""
    registry = CollectorRegistry()
    metrics = CallerMetrics(registry)
    for i in range(MAX_CALLERS + 50):
        metrics.count_admitted(f"device-{i}", 2)
    metrics.count_limited("device-0", 3)
    metrics.count_limited(f"device-{MAX_CALLERS}", 1)

    def lists(caller, result):
        return registry.get_sample_value("lorb_caller_lists_total", {"caller": caller, "result": result})

    assert (lists("device-0", "admitted"), lists("device-0", "limited")) == (2, 3)
    assert (lists(OTHERS, "admitted"), lists(OTHERS, "limited")) == (100, 1)
    [family] = [family for family in registry.collect() if family.name == "lorb_caller_lists"]
    assert len({sample.labels["caller"] for sample in family.samples}) == MAX_CALLERS + 1


def test_a_long_name_is_cut_to_a_label():
    """A label has at most 64 characters; longer names, as certificates may have, are cut only there."""
    registry = CollectorRegistry()
    metrics = CallerMetrics(registry)
    for end in ("one", "two"):
        metrics.count_admitted(f"spiffe://lorb.example/{'x' * MAX_NAME_CHARS}/{end}", 1)
    [family] = [family for family in registry.collect() if family.name == "lorb_caller_lists"]
    counts = {sample.labels["caller"]: sample.value for sample in family.samples if sample.name.endswith("_total")}
    assert [(len(label), count) for label, count in counts.items()] == [(MAX_NAME_CHARS, 2)]
