"""lorb_server.engine.cuda_graphs: graphs are used if their scores agree, and disabled if anything fails."""

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from lorb_adapters.base.loader import load_base
from lorb_adapters.cuda_graphs.runner import CudaGraphRunner
from lorb_adapters.model import RescoringModel
from lorb_adapters.store.store import Store
from lorb_adapters.text import TextNormalization
from lorb_server import build
from lorb_server.engine import cuda_graphs as module
from lorb_server.engine.cuda_graphs import CudaGraphs
from lorb_server.engine.device import choose_placement
from lorb_server.engine.warm_up import health_check
from lorb_server.telemetry.metrics import Metrics
from support.adapters.publications import make_publication
from support.adapters.random_adapters import random_adapter
from support.servers import serving
from support.servers.serving import running_server

MAX_TOKENS = 256
FAILURE = "CUDA graphs are disabled: all batches run eagerly"


def unrecorded(runs):
    """Captures nothing, so that the functions run eagerly on the CPU."""
    return runs


@pytest.fixture
def model(tiny_bert):
    return RescoringModel(load_base(str(tiny_bert)))


def value(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, labels)


def scored(model):
    """The scores of three texts under two adapters."""
    adapters = [random_adapter(model.base, i) for i in range(2)]
    encoder = model.base.text_encoder
    rows = encoder.encode(["the cat", "a cat sat", "the mat"], "", TextNormalization(), uses_context=False)
    return model.score(rows, adapters, [0, 1, 0])


def test_graphs_with_equal_scores_are_used(model, caplog):
    """Graphs whose scores agree are used and counted, and one log line reports sizes, memory and time."""
    caplog.set_level(logging.INFO)
    expected, metrics, launched = scored(model), Metrics(), []
    CudaGraphs(model, metrics, lambda runs: [lambda run=run: launched.append(run) or run() for run in runs]).record(
        MAX_TOKENS
    )
    assert value(metrics, "lorb_cuda_graphs") == 2
    [line] = caplog.records
    assert line.message == "small batches run as CUDA graphs"
    assert line.fields["tokens"] == [128, 256]
    assert {"bytes", "seconds", "deviation"} < line.fields.keys()
    launched.clear()
    torch.testing.assert_close(scored(model), expected, rtol=1e-5, atol=1e-5)
    assert len(launched) == 1
    health_check(model)


def fail_to_record(runs):
    raise RuntimeError("operation not permitted when stream is capturing")


@pytest.mark.parametrize(("reason", "capture"), [("record", fail_to_record), ("mismatch", unrecorded)])
def test_graphs_that_fail_or_deviate_are_disabled(model, monkeypatch, caplog, reason, capture):
    """If recording raises or the scores deviate, one line is logged and counted, and batches run eagerly."""
    expected, metrics = scored(model), Metrics()
    monkeypatch.setattr(module, "max_relative_deviation", lambda *_: 0.3)
    CudaGraphs(model, metrics, capture).record(MAX_TOKENS)
    assert [record.message for record in caplog.records] == [FAILURE]
    assert caplog.records[0].fields["reason"] == reason
    assert value(metrics, "lorb_cuda_graph_failures_total", reason=reason) == 1
    assert value(metrics, "lorb_cuda_graphs") == 0
    assert model.launch_graph is None
    assert torch.equal(scored(model), expected)


def test_graphs_are_disabled_after_a_launch_raises(model, monkeypatch, caplog):
    """After a launch that raises, its batch and all later ones run eagerly."""
    expected, metrics = scored(model), Metrics()
    CudaGraphs(model, metrics, unrecorded).record(MAX_TOKENS)
    monkeypatch.setattr(CudaGraphRunner, "launch", lambda *_: 1 // 0)
    assert torch.equal(scored(model), expected)
    assert [record.message for record in caplog.records] == [FAILURE]
    assert value(metrics, "lorb_cuda_graph_failures_total", reason="launch") == 1
    assert value(metrics, "lorb_cuda_graphs") == 0
    assert torch.equal(scored(model), expected)
    assert len(caplog.records) == 1


def test_a_budget_below_the_smallest_graph_records_none(model, caplog):
    """A token budget below the smallest graph records none and logs nothing."""
    metrics = Metrics()
    CudaGraphs(model, metrics, unrecorded).record(100)
    assert not caplog.records
    assert value(metrics, "lorb_cuda_graphs") == 0
    assert model.launch_graph is None


@pytest.mark.parametrize(("capture", "recorded"), [(unrecorded, 8), (fail_to_record, 0)])
def test_a_server_answers_the_same_with_and_without_graphs(tiny_bert, shared_store, monkeypatch, capture, recorded):
    """A server answers the same with graphs, without them, and after recording has failed."""
    folder = Path(shared_store.url)
    with running_server(tiny_bert, folder, max_batch_tokens=2048) as ordinary:
        expected = ordinary.rescore("the cat", "a cat", "a dog")
    monkeypatch.setattr(serving, "choose_placement", lambda config: replace(choose_placement(config), cuda_graphs=True))
    monkeypatch.setattr(build, "CudaGraphs", partial(CudaGraphs, capture=capture))
    with running_server(tiny_bert, folder, max_batch_tokens=2048, score_cache_bytes=0) as server:
        answers = [server.rescore("the cat", "a cat", "a dog") for _ in range(3)]
        assert server.sample("lorb_cuda_graphs") == recorded
        assert (server.sample("lorb_cuda_graph_failures_total", reason="record") or 0) == (0 if recorded else 1)
    for answer in answers:
        assert [each.index for each in answer.hypotheses] == [each.index for each in expected.hypotheses]
        for ours, theirs in zip(answer.hypotheses, expected.hypotheses, strict=True):
            assert ours.rescoring_score == pytest.approx(theirs.rescoring_score, abs=1e-4)


@pytest.mark.gpu
def test_a_server_on_a_gpu_records_and_serves(tiny_bert, tmp_path):
    """A server with --device cuda records graphs and answers a call with them."""
    Store(str(tmp_path)).publish(make_publication(load_base(str(tiny_bert)), "voice"), set_stable=True)
    with running_server(tiny_bert, tmp_path, device="cuda") as server:
        metrics = server.app.metrics
        assert value(metrics, "lorb_cuda_graphs") > 0
        assert server.rescore("the cat", "a cat").outcome
        assert value(metrics, "lorb_cuda_graphs") > 0
