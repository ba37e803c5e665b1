"""lorb_server.telemetry.tracing: the spans of a real server's calls, in memory and at a real OTLP receiver."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from lorb.errors import InvalidInput
from lorb.v1 import rescoring_pb2 as pb
from lorb_server.rpc import call_server
from lorb_server.telemetry.tracing import Tracing, open_tracing
from support.servers.serving import WAIT_SECONDS, running_server

STAGES = ["decode", "tokenise", "queue", "model", "rank"]
TEXTS = ("the cat sat", "a cat sat on", "the cat sad")
TRACEPARENT = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
OTEL_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED")


@pytest.fixture(autouse=True)
def no_ambient_traces(monkeypatch):
    """Removes the machine's own OTEL_* variables."""
    for variable in OTEL_VARIABLES:
        monkeypatch.delenv(variable, raising=False)


class Traces:
    """A server whose spans are exported to memory."""

    def __init__(self, server, tracing, exporter):
        self.server, self._tracing, self._exporter = server, tracing, exporter

    def spans(self):
        """The spans that ended since the last call, sorted by start time."""
        assert self._tracing._provider.force_flush(int(WAIT_SECONDS * 1000))
        ended = self._exporter.get_finished_spans()
        self._exporter.clear()
        return sorted(ended, key=lambda span: (span.start_time, span.kind is not SpanKind.SERVER))


@pytest.fixture
def traces(monkeypatch, tiny_bert, store):
    """A real server whose spans are exported to memory."""
    exporter = InMemorySpanExporter()
    tracings = []

    def keep(endpoint, environment):
        tracings.append(Tracing(exporter, environment))
        return tracings[0]

    monkeypatch.setattr(call_server, "open_tracing", keep)
    with running_server(tiny_bert, store.url) as server:
        yield Traces(server, tracings[0], exporter)


def children(spans, parent):
    """The names of a span's children."""
    return [span.name for span in spans if span.parent and span.parent.span_id == parent.context.span_id]


def test_a_call_is_a_server_span_with_a_child_per_stage(traces):
    """The stages are in order, inside the call, and as long as the answer's timings."""
    answer = traces.server.rescore(*TEXTS)
    root, *stages = traces.spans()
    assert (root.name, root.kind) == ("lorb.v1.RescoringService/Rescore", SpanKind.SERVER)
    assert [stage.name for stage in stages] == STAGES == children(stages, root)
    for stage, after in zip(stages, stages[1:], strict=False):
        assert root.start_time <= stage.start_time <= stage.end_time <= after.end_time <= root.end_time
    lasted = {stage.name: (stage.end_time - stage.start_time) / 1e9 for stage in stages}
    timings = answer.timings
    for name, seconds in (
        ("tokenise", timings.tokenize_seconds),
        ("queue", timings.queue_seconds),
        ("model", timings.infer_seconds),
    ):
        assert lasted[name] == pytest.approx(seconds, abs=1e-6)


def test_spans_have_counts_and_names_and_no_text(traces):
    """Spans have domain, version, outcome and counts, and no text, id or key of the caller."""
    answer = traces.server.rescore(*TEXTS, TEXTS[0], request_id="id-7", context="turn left", routing_key="caller-9")
    spans = traces.spans()
    attributes = spans[0].attributes
    assert attributes["lorb.domain"] == "voice"
    assert attributes["lorb.adapter.version"] == answer.adapter.version
    assert (attributes["lorb.outcome"], attributes["rpc.grpc.status_code"]) == ("rescored", 0)
    assert (attributes["lorb.hypotheses"], attributes["lorb.distinct_hypotheses"]) == (4, 3)
    exported = " ".join(span.to_json() for span in spans)
    for secret in (*TEXTS, "id-7", "turn left", "caller-9"):
        assert secret not in exported


def test_the_server_span_continues_the_callers_trace(traces):
    """The server span is a child of the caller's traceparent, and is dropped if the caller does not sample."""
    request = pb.RescoreRequest(domain="voice", hypotheses=[pb.Hypothesis(transcript=text) for text in TEXTS])
    traces.server.stub.Rescore(request, timeout=WAIT_SECONDS, metadata=[TRACEPARENT])
    spans = traces.spans()
    assert f"{spans[0].parent.span_id:016x}" == "b7ad6b7169203331"
    assert {f"{span.context.trace_id:032x}" for span in spans} == {"0af7651916cd43dd8448eb211c80319c"}
    traces.server.stub.Rescore(request, timeout=WAIT_SECONDS, metadata=[(TRACEPARENT[0], TRACEPARENT[1][:-2] + "00")])
    assert traces.spans() == []  # the caller does not sample this one


def test_a_failed_call_ends_its_span_with_the_status(traces):
    """A failed call is an error span with the gRPC status, without stages and without the error message."""
    with pytest.raises(grpc.RpcError):
        traces.server.rescore(*TEXTS, domain="nobody")
    [span] = traces.spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["rpc.grpc.status_code"] == grpc.StatusCode.NOT_FOUND.value[0]
    assert not span.events


def test_a_list_that_needs_no_model_has_no_model_stage(traces):
    """A list with one distinct text has the decode stage only."""
    traces.server.rescore("the cat sat", "the cat sat")
    root, *stages = traces.spans()
    assert [stage.name for stage in stages] == ["decode"]
    assert root.attributes["lorb.distinct_hypotheses"] == 1


def test_a_batch_has_a_span_for_each_list(traces):
    """Each list of a batch has its own span, which holds its stages."""
    request = pb.RescoreRequest(domain="voice", hypotheses=[pb.Hypothesis(transcript=text) for text in TEXTS])
    traces.server.stub.BatchRescore(pb.BatchRescoreRequest(requests=[request, request]), timeout=WAIT_SECONDS)
    spans = traces.spans()
    assert spans[0].name == "lorb.v1.RescoringService/BatchRescore"
    assert children(spans, spans[0]) == ["list", "list"]
    for span in spans:
        if span.name == "list":
            assert children(spans, span)[:2] == STAGES[:2]
            assert span.attributes["lorb.outcome"] == "rescored"


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """An OTLP collector that keeps what it receives."""

    def __init__(self):
        self.resources, self.arrived = [], threading.Event()

    def Export(self, request, context):  # noqa: N802 - the schema's name
        """Receives spans."""
        self.resources += request.resource_spans
        self.arrived.set()
        return otlp.ExportTraceServiceResponse()


@contextmanager
def receiving():
    """A real OTLP receiver over gRPC, and its URL."""
    receiver, server = Receiver(), grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(receiver, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield receiver, f"http://127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


@pytest.mark.parametrize("by", ["flag", "environment", "front"])
def test_a_collector_gets_the_spans(monkeypatch, tiny_bert, store, by):
    """A collector gets all spans before the server ends: by flag, by environment variable, and from a front process."""
    with receiving() as (receiver, url):
        settings = {} if by == "environment" else {"otlp_endpoint": url}
        if by == "environment":
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        if by == "front":
            settings["front_processes"] = 1
        with running_server(tiny_bert, store.url, **settings) as server:
            server.rescore(*TEXTS)
        assert receiver.arrived.wait(WAIT_SECONDS)
    [resource] = receiver.resources
    about = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert about["service.name"] == "lorb"
    names = [span.name for scope in resource.scope_spans for span in scope.spans]
    assert sorted(names) == sorted(["lorb.v1.RescoringService/Rescore", *STAGES])


def test_a_server_without_traces_does_not_import_opentelemetry():
    """Without an endpoint there is no tracing, and opentelemetry is not imported."""
    assert open_tracing("", {}) is None
    code = (
        "import sys, lorb_server.rpc.call_server, lorb_server.telemetry.tracing as t;"
        "assert t.open_tracing('', {}) is None;"
        "sys.exit(any(name.partition('.')[0] == 'opentelemetry' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603 - our own code


@pytest.mark.parametrize("variables", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}])
def test_opentelemetrys_own_variables_turn_traces_off(variables):
    """OTEL_SDK_DISABLED and OTEL_TRACES_EXPORTER override the endpoint variable."""
    assert open_tracing("", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317", **variables}) is None


def test_missing_packages_are_an_error_with_the_flag(monkeypatch, caplog):
    """With --otlp-endpoint, missing packages raise; with the environment variable they log a warning."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.grpc.trace_exporter", None)
    with pytest.raises(InvalidInput, match=r"pip install 'lorb\[otel\]'"):
        open_tracing("http://collector:4317", {})
    assert open_tracing("", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"}) is None
    assert "lorb[otel]" in caplog.text


def test_an_endpoint_that_is_not_a_url_is_refused():
    """host:port without http:// or https:// is refused."""
    with pytest.raises(InvalidInput, match="http://collector:4317"):
        open_tracing("collector:4317", {})
