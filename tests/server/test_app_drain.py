"""lorb_server.app: the shutdown of a whole server."""

import asyncio
import json
import subprocess
import threading
import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lorb.v1 import rescoring_pb2 as pb
from lorb_adapters.base.loader import load_base
from lorb_adapters.store.verified_loading import load_adapter
from lorb_server.app import App
from lorb_server.config import ServeConfig
from lorb_server.engine.device import choose_placement
from lorb_server.parts import ServerParts
from support.servers.health_checks import NOT_SERVING, SERVING, health_of
from support.servers.serving import WAIT_SECONDS, lorb_serve, running_server


def test_a_drain_finishes_the_calls_in_flight(held):
    """Health turns NOT_SERVING first, then the waiting calls are answered; the exit status is 0."""
    watching = health_pb2_grpc.HealthStub(held.server.channel).Watch(health_pb2.HealthCheckRequest())
    assert next(watching).status == SERVING
    calls = held.hold(4)
    held.server._loop.call_soon_threadsafe(held.server.app.stop)
    assert next(watching).status == NOT_SERVING
    held.model.gate.set()
    assert {call.result(WAIT_SECONDS).outcome for call in calls} == {pb.OUTCOME_RESCORED}
    assert held.server.join() == 0


def test_calls_are_taken_during_the_drain(tiny_bert, store):
    """During --drain-seconds calls are answered as before; a second stop ends the drain."""
    with running_server(tiny_bert, store.url, drain_seconds=1000.0) as server:
        server._loop.call_soon_threadsafe(server.app.stop)
        while health_of(server.channel) == SERVING:
            time.sleep(0.001)
        assert server.rescore("the cat", "a cat").outcome == pb.OUTCOME_RESCORED
        server._loop.call_soon_threadsafe(server.app.stop)
        assert server.join() == 0


def test_a_stop_during_the_start_ends_it(tiny_bert, store, monkeypatch):
    """A stop during a slow load ends the server at once, and health was never SERVING."""
    entered, gate = threading.Event(), threading.Event()

    def load_slowly(*arguments):
        entered.set()
        assert gate.wait(WAIT_SECONDS)
        return load_adapter(*arguments)

    monkeypatch.setattr("lorb_server.engine.loader.load_adapter", load_slowly)
    settings = {"port": 0, "admin_port": 0, "metrics_port": 0, "device": "cpu"}
    config = ServeConfig(base=str(tiny_bert), store=store.url, **settings)

    async def run():
        app = App(config, ServerParts.of(config, load_base(str(tiny_bert)), choose_placement(config), store))
        running = asyncio.create_task(app.run())
        try:
            assert await asyncio.to_thread(entered.wait, WAIT_SECONDS)
            app.stop()
            async with asyncio.timeout(WAIT_SECONDS / 2):
                return await running, app.health.has_served
        finally:
            gate.set()

    assert asyncio.run(run()) == (0, False)


def test_no_thread_survives_the_server(tiny_bert, store):
    """When a server has ended, its threads have ended too."""
    before = set(threading.enumerate())
    with running_server(tiny_bert, store.url) as server:
        server.rescore("the cat", "a cat")
        assert {"model-0", "model-1"} <= {thread.name for thread in threading.enumerate()}
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not {name for name in left if name.startswith(("model", "tokenizer", "server"))}


def test_sigterm_ends_the_process_in_order(tiny_bert, store, tmp_path):
    """lorb-serve writes its ports when it serves; on SIGTERM it drains and exits with 0."""
    with lorb_serve(tiny_bert, store.url, tmp_path, stderr=subprocess.PIPE) as (process, ports):
        with grpc.insecure_channel(f"127.0.0.1:{ports['port']}") as channel:
            assert health_of(channel) == SERVING
        process.terminate()
        _, errors = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 0
    lines = [json.loads(line) for line in errors.splitlines()]
    assert [line["message"] for line in lines] == [
        "workers chosen",
        "adapter loaded",
        "serving",
        "draining",
        "stopped",
    ]
    assert lines[2]["port"] == ports["port"]
    assert not (tmp_path / "ready.json").exists()
