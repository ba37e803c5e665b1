"""Fronts that are stopped, and engine processes that hang."""

import asyncio
import os
import signal
from contextlib import asynccontextmanager

import grpc
import pytest

from lorb.errors import Unavailable
from lorb.v1 import rescoring_pb2 as pb
from lorb_server.fronts import engine_link, fronts
from lorb_server.fronts.connection import MAX_SILENT_HEARTBEATS
from support.servers.front_pair import connected, job, until
from support.servers.fronted_server import fronted_server


def test_a_stopped_front_is_replaced(base, monkeypatch):
    """A front that SIGSTOP has stopped is killed and replaced; its call gets UNAVAILABLE, its job is cancelled."""
    monkeypatch.setattr(fronts, "HEARTBEAT_SECONDS", 0.2)

    async def run():
        async with fronted_server(base, front_processes=1) as server:
            server.scoring.gate.clear()
            call = asyncio.create_task(server.call("the cat", "a cat"))
            await until(lambda: server.scoring.jobs)
            [victim] = server.fronts.process_ids
            os.kill(victim, signal.SIGSTOP)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            await until(lambda: server.scoring.cancelled == 1)
            server.scoring.gate.set()
            assert (await server.retrying_call("the cat", "a cat")).outcome == pb.OUTCOME_RESCORED
            assert victim not in server.fronts.process_ids
            assert server.metrics.registry.get_sample_value("lorb_front_restarts_total") >= 1

    asyncio.run(run())


@asynccontextmanager
async def heartbeats(pair):
    """The engine's heartbeats."""

    async def send():
        while True:
            pair.peer.request_samples()
            await asyncio.sleep(0.001)

    sending = asyncio.create_task(send())
    yield
    sending.cancel()


def test_a_front_does_not_serve_while_the_engine_hangs(monkeypatch):
    """Without the engine's heartbeat a front reports NOT_SERVING and refuses calls at once; then it serves again."""
    monkeypatch.setattr(engine_link, "HEARTBEAT_SECONDS", 0.02)

    async def run():
        async with connected() as pair:
            call = await job(pair, 1)
            watching = asyncio.create_task(pair.link.watch_engine())
            await until(lambda: not pair.health.serving)
            assert pair.health.has_served
            with pytest.raises(Unavailable, match="does not answer"):
                pair.link.check_admission(call, 1)
            with pytest.raises(Unavailable, match="does not answer"):
                await pair.link.score(call)
            async with heartbeats(pair):
                await until(lambda: pair.health.serving)
                assert (await pair.link.score(call)).scores == (1.0,)
            watching.cancel()

    asyncio.run(run())


def test_a_front_stays_not_serving_if_the_engine_drained_before_it_hung(monkeypatch):
    """After a silence, a front reports the engine's own status again."""
    monkeypatch.setattr(engine_link, "HEARTBEAT_SECONDS", 0.02)

    async def run():
        async with connected() as pair:
            await pair.change(is_serving=False, has_served=True)
            watching = asyncio.create_task(pair.link.watch_engine())
            await until(lambda: pair.link.connection.is_silent)
            async with heartbeats(pair):
                await until(lambda: not pair.link.connection.is_silent)
            assert not pair.health.serving
            watching.cancel()

    asyncio.run(run())


def test_an_end_that_is_not_read_is_not_silent():
    """While the engine does not read from a front that has too many jobs, the front misses no heartbeat."""

    async def run():
        async with connected() as pair:
            connection = pair.peer.connection
            connection.pause_reading()
            for _ in range(MAX_SILENT_HEARTBEATS + 1):
                connection.count_heartbeat()
            assert not connection.is_silent
            connection.resume_reading()
            for _ in range(MAX_SILENT_HEARTBEATS + 1):
                connection.count_heartbeat()
            assert connection.is_silent
            pair.link.report()
            await until(lambda: not connection.is_silent)

    asyncio.run(run())


def test_a_front_that_reads_nothing_is_silent():
    """A front that does not read its answers misses heartbeats, although the engine reads nothing from it either."""

    async def run():
        async with connected() as pair:
            connection = pair.peer.connection
            connection.pause_reading()
            connection.pause_writing()
            for _ in range(MAX_SILENT_HEARTBEATS + 1):
                connection.count_heartbeat()
            assert connection.is_silent
            connection.resume_writing()
            assert not connection.is_silent

    asyncio.run(run())
