"""The sums of the metrics of several processes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from lorb_server.fronts.frames import ProtocolError
from lorb_server.fronts.messages import encode
from lorb_server.fronts.samples import decode_samples, encode_samples, samples_of, total, with_samples
from lorb_server.telemetry.metrics import Metrics


class Families:
    """A collector of fixed metric families."""

    def __init__(self, families):
        self.families = list(families)

    def collect(self):
        return self.families


def counted(requests, seconds):
    """The metrics of a process after this many requests, with these durations in seconds."""
    metrics = Metrics()
    metrics.requests.labels("voice", "rescored", "").inc(requests)
    for each in seconds:
        metrics.duration.labels("total", "single").observe(each)
    metrics.adapters.generation.set(requests)
    return metrics


def value(families, name, **labels):
    registry = CollectorRegistry()
    registry.register(Families(families))
    return registry.get_sample_value(name, labels)


def test_counters_and_histograms_are_summed_and_gauges_come_from_the_engine():
    """Sums include labels that the engine itself has never counted; gauges have the engine's value."""
    own, fronts = Metrics(), [counted(2, [0.003]), counted(3, [0.003, 7.0])]
    own.adapters.generation.set(41)
    sums = total(samples_of(front.registry) for front in fronts)
    families = list(with_samples(own.registry.collect(), sums))
    assert value(families, "lorb_rescore_requests_total", domain="voice", outcome="rescored", reason="") == 5
    assert value(families, "lorb_rescore_duration_seconds_count", stage="total", lane="single") == 3
    assert value(families, "lorb_rescore_duration_seconds_bucket", stage="total", lane="single", le="0.005") == 2
    assert value(families, "lorb_rescore_duration_seconds_bucket", stage="total", lane="single", le="+Inf") == 3
    assert value(families, "lorb_registry_generation") == 41


def test_the_engines_own_counts_are_in_the_sum():
    """The counts of the engine process are added to those of the fronts."""
    sums = samples_of(counted(2, [1.0]).registry)
    families = list(with_samples(counted(5, [1.0]).registry.collect(), sums))
    assert value(families, "lorb_rescore_requests_total", domain="voice", outcome="rescored", reason="") == 7
    assert value(families, "lorb_rescore_duration_seconds_sum", stage="total", lane="single") == 2.0


def test_the_sum_is_a_page_that_prometheus_reads():
    """On the summed page, the buckets of a histogram stay together and in order."""
    from prometheus_client.parser import text_string_to_metric_families

    registry = CollectorRegistry()
    sums = samples_of(counted(2, [0.003, 7.0]).registry)
    registry.register(Families(with_samples(Metrics().registry.collect(), sums)))
    [family] = [
        each
        for each in text_string_to_metric_families(generate_latest(registry).decode())
        if each.name == "lorb_rescore_duration_seconds"
    ]
    buckets = [sample.value for sample in family.samples if sample.name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 2


def test_process_metrics_and_start_times_are_not_summed():
    """The samples of a front contain no process metrics and no `_created` series, whose sums would be meaningless."""
    names = {name for _, name, _ in samples_of(counted(1, [1.0]).registry)}
    assert not {name for name in names if name.startswith("process_") or name.endswith("_created")}


@given(
    st.dictionaries(
        st.tuples(st.text(), st.text(), st.lists(st.tuples(st.text(), st.text()), max_size=3).map(tuple)),
        st.floats(allow_nan=False),
    )
)
def test_samples_survive_encoding_and_decoding(samples):
    """Decoded samples are equal to the encoded ones, with any labels."""
    assert decode_samples(encode_samples(samples)) == samples


@pytest.mark.parametrize(
    "body", [b"", b"{", encode([1]), encode([[["a", "b", 3], 4]]), encode([[["a", "b", []], "x"]]), b"\x91\xa1\xff"]
)
def test_invalid_samples_are_refused(body):
    """Bytes that are not encoded samples raise ProtocolError."""
    with pytest.raises(ProtocolError):
        decode_samples(body)
