"""The server as a whole, from its start to its first answers: health, ports, ready file, metrics."""

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


def test_health_and_reflection_tell_of_the_services(server):
    """Both ports answer for the server, the services and nothing else."""
    for channel in (server.channel, server.admin_channel):
        assert [health_of(channel, name) for name in ("", RESCORING, ADMIN)] == [SERVING] * 3
        with pytest.raises(grpc.RpcError) as caught:
            health_of(channel, "lorb.v1.Nothing")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    for channel, service in ((server.channel, RESCORING), (server.admin_channel, ADMIN)):
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        [answer] = stub.ServerReflectionInfo(asked, timeout=WAIT_SECONDS)
        assert service in {one.name for one in answer.list_services_response.service}


def test_reflection_may_be_off(tiny_bert, store):
    """Nothing tells what the services are."""
    with running_server(tiny_bert, store.url, reflection=False, admin=False) as server:
        assert server.ports.admin_port is None
        stub = reflection_pb2_grpc.ServerReflectionStub(server.channel)
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.ServerReflectionInfo(asked, timeout=WAIT_SECONDS))
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_nothing_serves_before_the_first_pass(tiny_bert, store, monkeypatch):
    """While it warms up health says NOT_SERVING and calls are UNAVAILABLE; a warm-up that fails ends the start."""
    seen = []

    def look(model, max_batch_tokens, cost):
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            seen.append(health_of(channel))
            call = channel.unary_unary(
                f"/{RESCORING}/Rescore", pb.RescoreRequest.SerializeToString, pb.RescoreResponse.FromString
            )
            with pytest.raises(grpc.RpcError) as caught:
                call(pb.RescoreRequest(hypotheses=[pb.Hypothesis(transcript="a")]), timeout=WAIT_SECONDS)
            seen.append(caught.value.code())
        raise InvalidInput("too little memory for --max-batch-tokens", field="max_batch_tokens")

    monkeypatch.setattr("lorb_server.build.warm_up", look)
    port = free_port()
    with pytest.raises(InvalidInput), running_server(tiny_bert, store.url, port=port):
        pass
    assert seen == [NOT_SERVING, grpc.StatusCode.UNAVAILABLE]


def test_a_port_that_is_taken_is_refused(server, tiny_bert, store):
    """Two servers on one port would each get half of the calls."""
    with (
        pytest.raises(InvalidInput, match="--port") as caught,
        running_server(tiny_bert, store.url, port=server.ports.port),
    ):
        pass
    assert caught.value.field == "port"


def test_a_ready_file_that_cannot_be_written_ends_the_start(tiny_bert, store, tmp_path):
    """A script would wait for it for ever."""
    with (
        pytest.raises(InvalidInput, match="--ready-file"),
        running_server(tiny_bert, store.url, ready_file=str(tmp_path / "nowhere" / "ready.json")),
    ):
        pass


def test_a_ready_file_left_behind_is_gone_until_the_server_serves(tiny_bert, store, tmp_path, monkeypatch):
    """A script that waits for it does not read the ports of a server that was killed."""
    ready_file, seen = tmp_path / "ready.json", []
    ready_file.write_text('{"port": 1}')
    monkeypatch.setattr("lorb_server.build.warm_up", lambda *_: seen.append(ready_file.exists()))
    with running_server(tiny_bert, store.url, ready_file=str(ready_file)) as server:
        assert json.loads(ready_file.read_text())["port"] == server.ports.port
    assert seen == [False]
    assert not ready_file.exists()


def test_a_server_that_does_not_start_leaves_anothers_ready_file(server, tiny_bert, store, tmp_path):
    """The one that has the port goes on serving."""
    ready_file = tmp_path / "ready.json"
    ready_file.write_text('{"port": 1}')
    with (
        pytest.raises(InvalidInput, match="--port"),
        running_server(tiny_bert, store.url, port=server.ports.port, ready_file=str(ready_file)),
    ):
        pass
    assert ready_file.exists()


def test_metrics_are_served_beside_the_calls(tiny_bert, store):
    """What was called is counted, under the documented names."""
    with running_server(tiny_bert, store.url, metrics_port=free_port()) as server:
        server.rescore("the cat", "a cat")
        with urllib.request.urlopen(f"http://127.0.0.1:{server.ports.metrics_port}/metrics") as answer:
            text = answer.read().decode()
    [version] = store.versions("voice")
    assert 'lorb_rescore_requests_total{domain="voice",outcome="rescored",reason=""} 1.0' in text
    assert f'lorb_adapter_info{{digest="{store.manifest("voice", version).weights_digest}",domain="voice"' in text
    assert 'dtype="float32"' in text


def test_a_store_that_cannot_be_read_ends_the_start(tiny_bert, store):
    """Its index is torn: an operator should see it now, not in the metrics."""
    index = Path(store.url) / "index.json"
    index.chmod(0o644)
    index.write_text("{")
    with pytest.raises(StoreUnavailable), running_server(tiny_bert, store.url):
        pass
