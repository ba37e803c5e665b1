"""lorb_server.telemetry.adapter_metrics: series that follow adapters, aliases and refusals."""

from dataclasses import replace

import pytest

from lorb_server.telemetry.adapter_metrics import MAX_COMPARED_DOMAINS
from lorb_server.telemetry.metrics import Metrics
from support.servers.stub_model import adapter_handle


@pytest.fixture
def metrics():
    return Metrics()


def sample(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, labels)


def test_series_of_evicted_adapters_are_removed(metrics):
    """Only adapters on the device have info and training series."""
    statistics = {"training_score_mean": -4.0, "training_score_deviation": 1.5}
    old, new = (replace(adapter_handle(number), **statistics) for number in (1, 2))
    for adapter in (old, new):
        metrics.adapters.add_adapter(adapter)
    metrics.adapters.remove_adapter(old)
    refs = [old.ref, new.ref]
    infos = [
        sample(metrics, "lorb_adapter_info", domain=ref.domain, version=ref.version, digest=ref.digest) for ref in refs
    ]
    scores = [
        sample(metrics, f"lorb_training_first_pass_score{which}", domain=ref.domain, version=ref.version)
        for which in ("", "_deviation")
        for ref in refs
    ]
    assert infos == [None, 1]
    assert scores == [None, -4.0, None, 1.5]


def test_alias_series_follow_the_served_version(metrics):
    """A flipped alias has one series with its new version, a removed alias has none."""

    def shown(alias, version):
        return sample(metrics, "lorb_adapter_alias", domain="voice", alias=alias, version=version)

    first, second = {"stable": "1-a", "canary": "2-b"}, {"stable": "2-b"}
    metrics.adapters.update_aliases("voice", {}, first)
    metrics.adapters.update_aliases("voice", first, second)
    served = [shown("stable", "1-a"), shown("stable", "2-b"), shown("canary", "2-b")]
    assert served == [None, 1, None]


def test_refusal_and_share_series_follow_the_domain(metrics):
    """Versions that are not refused any more, and shares of 0, have no series."""
    metrics.adapters.update_refused("voice", (), ("1-a", "2-b"))
    metrics.adapters.update_refused("voice", ("1-a", "2-b"), ("2-b", "3-c"))
    shown = [
        sample(metrics, "lorb_adapter_refused", domain="voice", version=version) for version in ("1-a", "2-b", "3-c")
    ]
    assert shown == [None, 1, 1]
    metrics.adapters.update_canary_share("voice", 0.0, 0.25)
    assert sample(metrics, "lorb_canary_share", domain="voice") == 0.25
    metrics.adapters.update_canary_share("voice", 0.25, 0.0)
    metrics.adapters.update_canary_share("voice", 0.0, 0.0)
    assert sample(metrics, "lorb_canary_share", domain="voice") is None


def test_the_series_by_alias_are_bounded(metrics):
    """Results are counted for the first 100 domains by name, and for all further domains together."""
    domains = [f"d{number}" for number in range(MAX_COMPARED_DOMAINS + 2)]
    for domain in domains:
        metrics.adapters.observe_alias(domain, "canary", "rescored", seconds=0.1)
    metrics.adapters.observe_alias(domains[0], "", "rescored", seconds=0.1)
    names = {"alias": "canary", "outcome": "rescored", "reason": ""}
    counts = [sample(metrics, "lorb_alias_requests_total", domain=domain, **names) for domain in [*domains, "others"]]
    assert counts == [1] * MAX_COMPARED_DOMAINS + [None, None, 2]
