"""lorb_server.app: the start of a whole server: health, ports, ready file, metrics."""

import json
import urllib.request
from pathlib import Path

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from lorb.errors import InvalidInput, StoreUnavailable
from lorb.v1 import rescoring_pb2 as pb
from lorb_server.app import ADMIN, RESCORING
from support.servers.health_checks import NOT_SERVING, SERVING, health_of
from support.servers.serving import WAIT_SECONDS, free_port, running_server


def test_health_and_reflection_know_the_services(server):
    """Both ports answer for the server and its services, and for no other name."""
    for channel in (server.channel, server.admin_channel):
        assert [health_of(channel, name) for name in ("", RESCORING, ADMIN)] == [SERVING] * 3
        with pytest.raises(grpc.RpcError) as caught:
            health_of(channel, "lorb.v1.Nothing")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    for channel, service in ((server.channel, RESCORING), (server.admin_channel, ADMIN)):
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        [answer] = stub.ServerReflectionInfo(requests, timeout=WAIT_SECONDS)
        assert service in {one.name for one in answer.list_services_response.service}


def test_reflection_can_be_turned_off(tiny_bert, store):
    """With --no-reflection, reflection is UNIMPLEMENTED."""
    with running_server(tiny_bert, store.url, reflection=False, admin=False) as server:
        assert server.ports.admin_port is None
        stub = reflection_pb2_grpc.ServerReflectionStub(server.channel)
        requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.ServerReflectionInfo(requests, timeout=WAIT_SECONDS))
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_nothing_serves_before_the_warm_up(tiny_bert, store, monkeypatch):
    """During the warm-up health is NOT_SERVING and calls get UNAVAILABLE; a failed warm-up ends the start."""
    seen = []

    def failing_warm_up(model, max_batch_tokens):
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            seen.append(health_of(channel))
            call = channel.unary_unary(
                f"/{RESCORING}/Rescore", pb.RescoreRequest.SerializeToString, pb.RescoreResponse.FromString
            )
            with pytest.raises(grpc.RpcError) as caught:
                call(pb.RescoreRequest(hypotheses=[pb.Hypothesis(transcript="a")]), timeout=WAIT_SECONDS)
            seen.append(caught.value.code())
        raise InvalidInput("too little memory for --max-batch-tokens", field="max_batch_tokens")

    monkeypatch.setattr("lorb_server.build.warm_up", failing_warm_up)
    port = free_port()
    with pytest.raises(InvalidInput), running_server(tiny_bert, store.url, port=port, workers=1):
        pass
    assert seen == [NOT_SERVING, grpc.StatusCode.UNAVAILABLE]


def test_a_port_that_is_taken_is_refused(server, tiny_bert, store):
    """A second server on the port fails with an error that names --port."""
    with (
        pytest.raises(InvalidInput, match="--port") as caught,
        running_server(tiny_bert, store.url, port=server.ports.port),
    ):
        pass
    assert caught.value.field == "port"


def test_a_ready_file_that_cannot_be_written_ends_the_start(tiny_bert, store, tmp_path):
    """A ready file in a missing folder ends the start with an error that names --ready-file."""
    with (
        pytest.raises(InvalidInput, match="--ready-file"),
        running_server(tiny_bert, store.url, ready_file=str(tmp_path / "nowhere" / "ready.json")),
    ):
        pass


def test_a_stale_ready_file_is_removed_until_the_server_serves(tiny_bert, store, tmp_path, monkeypatch):
    """The ready file of a killed server is removed before the new server serves."""
    ready_file, seen = tmp_path / "ready.json", []
    ready_file.write_text('{"port": 1}')
    monkeypatch.setattr("lorb_server.build.warm_up", lambda *_: seen.append(ready_file.exists()) or [])
    with running_server(tiny_bert, store.url, ready_file=str(ready_file), workers=1) as server:
        assert json.loads(ready_file.read_text())["port"] == server.ports.port
    assert seen == [False]
    assert not ready_file.exists()


def test_a_server_that_does_not_start_leaves_anothers_ready_file(server, tiny_bert, store, tmp_path):
    """A server that finds its port taken does not remove the running server's ready file."""
    ready_file = tmp_path / "ready.json"
    ready_file.write_text('{"port": 1}')
    with (
        pytest.raises(InvalidInput, match="--port"),
        running_server(tiny_bert, store.url, port=server.ports.port, ready_file=str(ready_file)),
    ):
        pass
    assert ready_file.exists()


def test_metrics_count_the_calls(tiny_bert, store):
    """The metrics page counts a call under the documented names."""
    with running_server(tiny_bert, store.url, metrics_port=free_port()) as server:
        server.rescore("the cat", "a cat")
        with urllib.request.urlopen(f"http://127.0.0.1:{server.ports.metrics_port}/metrics") as answer:
            text = answer.read().decode()
    [version] = store.versions("voice")
    assert 'lorb_rescore_requests_total{domain="voice",outcome="rescored",reason=""} 1.0' in text
    assert f'lorb_adapter_info{{digest="{store.manifest("voice", version).weights_digest}",domain="voice"' in text
    assert 'dtype="float32"' in text


def test_an_unreadable_store_ends_the_start(tiny_bert, store):
    """A truncated index ends the start with StoreUnavailable."""
    index = Path(store.url) / "index.json"
    index.chmod(0o644)
    index.write_text("{")
    with pytest.raises(StoreUnavailable), running_server(tiny_bert, store.url):
        pass
