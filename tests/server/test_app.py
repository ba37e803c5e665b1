"""The server as a whole: start, health, death, drain."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from lorb.errors import InvalidInput, StoreUnavailable
from lorb.v1 import rescoring_pb2 as pb
from lorb_adapters.base import load_base
from lorb_adapters.loading import load_adapter
from lorb_server.app import ADMIN, RESCORING, App
from lorb_server.config import ServeConfig
from lorb_server.device import choose_placement
from publications import make_publication
from serving import WAIT_SECONDS, TellingModel, free_port, running_server, selected

ROOT = Path(__file__).parents[2]
SERVING = health_pb2.HealthCheckResponse.SERVING
START_SECONDS = 300.0  # a process that imports torch, on a busy machine
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def health_of(channel, service=""):
    request = health_pb2.HealthCheckRequest(service=service)
    return health_pb2_grpc.HealthStub(channel).Check(request, timeout=WAIT_SECONDS).status


class HeldServer:
    """A running server whose model a test holds, with calls that wait for it."""

    def __init__(self, server):
        self.server = server
        self.model = TellingModel()
        server.app.engine._passes._model = self.model
        self.callers = ThreadPoolExecutor(16)

    def hold(self, calls=1, **fields):
        """Starts calls; returns their futures once the first is in the model and the others wait."""
        self.model.gate.clear()
        self.model.entered.clear()
        first = self.call(**fields)
        assert self.model.entered.wait(WAIT_SECONDS)
        others = [self.call(**fields) for _ in range(calls - 1)]
        self.until(lambda: self.queued == calls - 1)
        return [first, *others]

    def call(self, **fields):
        return self.callers.submit(self.server.rescore, "the cat", "a cat", **fields)

    @property
    def queued(self):
        return self.server.app.engine._scheduler.queued_lists

    def until(self, condition):
        limit = time.monotonic() + WAIT_SECONDS
        while not condition():
            assert time.monotonic() < limit
            time.sleep(0.001)


@pytest.fixture
def held(tiny_bert, store):
    """A server of its own for one test, that scores every list anew."""
    with running_server(tiny_bert, store.url, score_cache_bytes=0) as server:
        held = HeldServer(server)
        yield held
        held.model.gate.set()
        held.callers.shutdown()


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

    monkeypatch.setattr("lorb_server.engine_room.warm_up", look)
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
    monkeypatch.setattr("lorb_server.engine_room.warm_up", lambda *_: seen.append(ready_file.exists()))
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


def test_a_dead_model_fails_every_call_and_ends_the_server(held):
    """All waiting calls fail at once, health turns NOT_SERVING, and the exit status is not 0."""
    watching = health_pb2_grpc.HealthStub(held.server.channel).Watch(health_pb2.HealthCheckRequest())
    assert next(watching).status == SERVING
    calls = held.hold(8)
    held.model.trouble = SystemExit("killed")
    held.model.gate.set()
    errors = [call.exception(WAIT_SECONDS) for call in calls]
    assert {error.code() for error in errors} == {grpc.StatusCode.INTERNAL}
    assert [answer.status for answer in watching] == [NOT_SERVING]
    assert held.server.join() == 1


def test_a_pass_that_raises_fails_its_own_calls_alone(held):
    """The calls of that pass get INTERNAL; health stays SERVING and the next call is rescored."""
    [call] = held.hold()
    held.model.trouble = RuntimeError("the cat")
    held.model.gate.set()
    error = call.exception(WAIT_SECONDS)
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "cat" not in error.details()
    held.model.trouble = None
    assert held.server.rescore("the cat", "a cat").outcome == pb.OUTCOME_RESCORED
    assert health_of(held.server.channel) == SERVING


@pytest.fixture
def narrow(tiny_bert, store):
    """A held server whose queue takes one list."""
    with running_server(tiny_bert, store.url, max_queue_tokens=64, score_cache_bytes=0) as server:
        held = HeldServer(server)
        yield held
        held.model.gate.set()
        held.callers.shutdown()


def test_a_full_queue_degrades_or_fails_as_the_caller_chose(narrow):
    """First-pass order with the reason, or RESOURCE_EXHAUSTED; those in the queue are rescored in the end."""
    long = " ".join(["cat"] * 100)
    calls = narrow.hold()
    calls.append(narrow.callers.submit(narrow.server.rescore, long, "a " + long))
    narrow.until(lambda: narrow.queued == 1)
    answer = narrow.server.rescore("the cat", "a cat")
    assert (answer.outcome, answer.fallback_reason) == (pb.OUTCOME_FIRST_PASS, pb.FALLBACK_REASON_QUEUE_FULL)
    assert answer.adapter.version
    with pytest.raises(grpc.RpcError) as caught:
        narrow.server.rescore("the cat", "a cat", fallback_policy=pb.FALLBACK_POLICY_FAIL)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert narrow.server.rescore("the cat").outcome == pb.OUTCOME_RESCORED
    narrow.model.gate.set()
    assert {call.result(WAIT_SECONDS).outcome for call in calls} == {pb.OUTCOME_RESCORED}


def test_an_abandoned_call_leaves_the_queue(held):
    """A caller that cancels, or whose deadline passes unanswered, costs the model nothing."""
    calls = held.hold()
    hypotheses = [pb.Hypothesis(transcript=text) for text in ("the dog", "a dog")]
    abandoned = held.server.stub.Rescore.future(pb.RescoreRequest(domain="voice", hypotheses=hypotheses))
    held.until(lambda: held.queued == 1)
    abandoned.cancel()
    held.until(lambda: held.queued == 0)
    held.model.gate.set()
    assert calls[0].result(WAIT_SECONDS).outcome == pb.OUTCOME_RESCORED
    assert held.model.passes == [2]
    assert held.server.sample("lorb_rescore_abandoned_total") == 1


def test_a_flip_never_changes_a_list_already_admitted(held, store, publishing_base):
    """Lists that wait while their domain flips are answered by the version they were admitted with."""
    [before] = store.versions("voice")
    after = store.publish(make_publication(publishing_base, "voice", seed=2), set_stable=False)
    registry = held.server.app.registry
    held.until(lambda: registry.domains.generation == store.generation())
    held.server.do(lambda: registry.verify("voice", after))
    calls = held.hold(3)
    store.set_alias("voice", "stable", after)
    held.until(lambda: selected(registry, "voice").ref.version == after)
    late = held.call()
    held.model.gate.set()
    assert {call.result(WAIT_SECONDS).adapter.version for call in calls} == {before}
    assert late.result(WAIT_SECONDS).adapter.version == after


def test_a_drain_finishes_what_is_in_flight(held):
    """Health says NOT_SERVING first; the calls that wait are answered; the exit status is 0."""
    watching = health_pb2_grpc.HealthStub(held.server.channel).Watch(health_pb2.HealthCheckRequest())
    assert next(watching).status == SERVING
    calls = held.hold(4)
    held.server._loop.call_soon_threadsafe(held.server.app.stop)
    assert next(watching).status == NOT_SERVING
    held.model.gate.set()
    assert {call.result(WAIT_SECONDS).outcome for call in calls} == {pb.OUTCOME_RESCORED}
    assert held.server.join() == 0


def test_calls_are_taken_while_load_balancers_leave(tiny_bert, store):
    """For --drain-seconds after the signal calls are answered as before; a second signal ends the wait."""
    with running_server(tiny_bert, store.url, drain_seconds=1000.0) as server:
        server._loop.call_soon_threadsafe(server.app.stop)
        while health_of(server.channel) == SERVING:
            time.sleep(0.001)
        assert server.rescore("the cat", "a cat").outcome == pb.OUTCOME_RESCORED
        server._loop.call_soon_threadsafe(server.app.stop)
        assert server.join() == 0


def test_a_stop_ends_a_start(tiny_bert, store, monkeypatch):
    """However long adapters take to load, the server ends at once, in order, and has never said that it serves."""
    entered, gate = threading.Event(), threading.Event()

    def load_slowly(*arguments):
        entered.set()
        assert gate.wait(WAIT_SECONDS)
        return load_adapter(*arguments)

    monkeypatch.setattr("lorb_server.loader.load_adapter", load_slowly)
    settings = {"port": 0, "admin_port": 0, "metrics_port": 0, "device": "cpu"}
    config = ServeConfig(base=str(tiny_bert), store=store.url, **settings)

    async def run():
        app = App(config, load_base(str(tiny_bert)), choose_placement(config), store)
        running = asyncio.create_task(app.run())
        try:
            assert await asyncio.to_thread(entered.wait, WAIT_SECONDS)
            app.stop()
            async with asyncio.timeout(WAIT_SECONDS / 2):
                return await running, app.health.has_served
        finally:
            gate.set()

    assert asyncio.run(run()) == (0, False)


def test_nothing_is_left_behind(tiny_bert, store):
    """When a server has ended, its threads have too."""
    before = set(threading.enumerate())
    with running_server(tiny_bert, store.url) as server:
        server.rescore("the cat", "a cat")
        assert any(thread.name == "model" for thread in threading.enumerate())
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not {name for name in left if name.startswith(("model", "tokenizer", "server"))}


def test_sigterm_ends_the_process_in_order(tiny_bert, store, tmp_path):
    """lorb-serve writes its ports when it serves; on SIGTERM it drains and exits with 0."""
    ready_file = tmp_path / "ready.json"
    arguments = ["--base", tiny_bert, "--store", store.url, "--port", 0, "--admin-port", 0, "--metrics-port", 0]
    arguments += ["--ready-file", ready_file, "--drain-seconds", 0, "--device", "cpu"]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("proto", "adapters", "server")),
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "lorb_server.cli", *map(str, arguments)], env=environment, stderr=subprocess.PIPE
    )
    try:
        limit = time.monotonic() + START_SECONDS
        while not ready_file.exists():
            assert process.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.02)
        ports = json.loads(ready_file.read_text())
        with grpc.insecure_channel(f"127.0.0.1:{ports['port']}") as channel:
            assert health_of(channel) == SERVING
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=START_SECONDS)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    lines = [json.loads(line) for line in errors.splitlines()]
    assert [line["message"] for line in lines] == ["adapter loaded", "serving", "draining", "stopped"]
    assert lines[1]["port"] == ports["port"]
    assert not ready_file.exists()
