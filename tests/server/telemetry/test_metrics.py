"""lorb_server.telemetry.metrics: names, stages and signs."""

from prometheus_client import generate_latest

from lorb.ranked import FallbackReason, Outcome, Timings
from lorb_server.call import Priority
from lorb_server.telemetry.metrics import Metrics

NAMES = (
    "lorb_rescore_requests_total",
    "lorb_rescore_duration_seconds",
    "lorb_rescore_hypotheses_total",
    "lorb_batch_tokens",
    "lorb_batch_lists",
    "lorb_batch_adapters",
    "lorb_queue_tokens",
    "lorb_queue_oldest_age_seconds",
    "lorb_rank_changed_total",
    "lorb_adapter_loads_total",
    "lorb_adapter_load_duration_seconds",
    "lorb_adapter_info",
    "lorb_resident_adapter_bytes",
    "lorb_resident_adapters",
    "lorb_adapter_evictions_total",
    "lorb_adapter_bring_backs_total",
    "lorb_canary_requests_total",
    "lorb_canary_withdrawals_total",
    "lorb_shadow_comparisons_total",
    "lorb_shadow_disagreements_total",
    "lorb_shadow_dropped_total",
    "lorb_shadow_failures_total",
    "lorb_build_info",
)


def test_every_documented_name_is_exported():
    """The page of a new registry has every documented name and the process's own metrics."""
    text = generate_latest(Metrics().registry).decode()
    documented = {line.split()[2].removesuffix("_total") for line in text.splitlines() if line.startswith("# HELP")}
    assert {name.removesuffix("_total") for name in NAMES} <= {name.removesuffix("_total") for name in documented}
    assert "process_resident_memory_bytes" in text


def test_skipped_stages_are_not_timed():
    """A list that skipped the model adds to the total stage only."""
    metrics = Metrics()
    metrics.observe_call(
        "voice", Priority.BATCH, Outcome.FIRST_PASS, FallbackReason.QUEUE_FULL, Timings(total_seconds=0.5)
    )
    metrics.observe_call("voice", Priority.BATCH, Outcome.RESCORED, None, Timings(1.0, 0.1, 0.0, 0.2))
    counts = {
        stage: metrics.registry.get_sample_value(
            "lorb_rescore_duration_seconds_count", {"stage": stage, "lane": "bulk"}
        )
        for stage in ("total", "tokenize", "queue", "infer")
    }
    assert counts == {"total": 2, "tokenize": 1, "queue": 1, "infer": 1}
    labels = {"domain": "voice", "outcome": "first_pass", "reason": "queue_full"}
    assert metrics.registry.get_sample_value("lorb_rescore_requests_total", labels) == 1


def test_first_pass_score_counters_never_decrease():
    """Positive and negative scores are summed apart, so that both counters only increase."""
    metrics = Metrics()
    value = metrics.registry.get_sample_value
    seen = []
    for score in (-4.0, -2.0, 3.0):
        metrics.observe_first_pass("voice", score)
        labels = [{"domain": "voice", "sign": sign} for sign in ("positive", "negative")]
        seen.append([value("lorb_first_pass_score_magnitude_total", each) for each in labels])
    assert seen == [[0.0, 4.0], [0.0, 6.0], [3.0, 6.0]]
    assert value("lorb_first_pass_lists_total", {"domain": "voice"}) == 3
