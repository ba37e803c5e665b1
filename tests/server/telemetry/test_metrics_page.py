"""docs/operate/metrics.md has the same metrics, types and labels as a running server."""

import re
import urllib.request
from pathlib import Path

import grpc
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from lorb.v1 import rescoring_pb2 as pb
from lorb_adapters.store.store import Store
from support.adapters.publications import make_publication
from support.servers.serving import WAIT_SECONDS, free_port, running_server

PAGE = Path(__file__).parents[3] / "docs" / "operate" / "metrics.md"
ROW = re.compile(r"^\| `(\w+)` \| (counter|gauge|histogram) \|([^|]*)\| \S.*\|$")
LABELS_OF_TYPES = {"le"}  # of every histogram's buckets


@pytest.fixture(scope="module")
def documented():
    """The type and labels of each metric in the table, by name."""
    table = [
        line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `lorb_") or "`process_" in line
    ]
    rows = [ROW.match(line) for line in table]
    assert all(rows), [line for line, row in zip(table, rows, strict=True) if row is None]
    names = [row[1] for row in rows]
    assert len(names) == len(set(names))
    return {row[1]: (row[2], frozenset(re.findall(r"`(\w+)`", row[3]))) for row in rows}


@pytest.fixture(scope="module")
def exported(tiny_bert, publishing_base, tmp_path_factory):
    """The metric families of a server after three calls, and the labels of each family."""
    folder, port = tmp_path_factory.mktemp("metered-store"), free_port()
    Store(str(folder)).publish(make_publication(publishing_base, "voice"), set_stable=True)
    with running_server(tiny_bert, folder, metrics_port=port) as server:
        server.rescore("the cat", "a cat")
        request = pb.RescoreRequest(domain="voice", hypotheses=[pb.Hypothesis(transcript="a", first_pass_score=-1.0)])
        server.stub.BatchRescore(pb.BatchRescoreRequest(requests=[request]), timeout=WAIT_SECONDS)
        with pytest.raises(grpc.RpcError, match="is served here"):
            server.rescore("the cat", "a cat", domain="nowhere")
        page = f"http://127.0.0.1:{port}/metrics"
        scrape = urllib.request.Request(page, headers={"Accept": "application/openmetrics-text"})
        with urllib.request.urlopen(scrape, timeout=WAIT_SECONDS) as answer:  # noqa: S310
            families = list(text_string_to_metric_families(answer.read().decode()))
        return families, declared_labels(server.app.metrics.registry)


def declared_labels(registry):
    """The labels of each family, also without a sample; prometheus_client has no public way to read them."""
    return {
        family.name: frozenset(getattr(collector, "_labelnames", ()))
        for collector in registry._collector_to_names
        for family in collector.collect()
    }


def name_of(family):
    return f"{family.name}_total" if family.type == "counter" else family.name


def test_the_table_has_every_metric_and_no_other(documented, exported):
    """The table and the server's page have the same names, types and labels."""
    families, labels = exported
    assert {name_of(family): (family.type, labels[family.name]) for family in families} == documented


def test_samples_have_the_labels_of_the_table(documented, exported):
    """Every sample has exactly the labels that the table gives."""
    families, _ = exported
    seen = set()
    for family in families:
        for sample in family.samples:
            assert sample.labels.keys() - LABELS_OF_TYPES == documented[name_of(family)][1], sample
            seen.add(family.name)
    assert {"lorb_rescore_requests", "lorb_rescore_duration_seconds", "lorb_adapter_alias", "lorb_serving"} <= seen
