"""Real front processes before scoring that a test controls: start, death, drain."""

import asyncio
import os
import signal
from contextlib import asynccontextmanager

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lorb.errors import InvalidInput
from lorb.v1 import rescoring_pb2 as pb
from lorb.v1 import rescoring_pb2_grpc
from lorb_adapters.base.loader import load_base
from lorb_server.build import base_info
from lorb_server.config import ServeConfig
from lorb_server.fronts import fronts as fronts_module
from lorb_server.fronts.fronts import Fronts
from lorb_server.rpc.health import Health
from lorb_server.rpc.server import ADMIN, RESCORING
from lorb_server.telemetry.metrics import Metrics
from support.servers.front_pair import HeldScoring, ScriptedRouting, until
from support.servers.serving import free_port
from support.servers.stub_model import adapter_handle

START_SECONDS = 120.0  # two processes on a busy machine import torch meanwhile
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

REQUESTS = (  # lists rescored, as a sample's key
    "lorb_rescore_requests",
    "lorb_rescore_requests_total",
    (("domain", "voice"), ("outcome", "rescored"), ("reason", "")),
)


@pytest.fixture(scope="module")
def base(tiny_bert):
    return load_base(str(tiny_bert))


class Server:
    """Fronts before held scoring, and a caller."""

    def __init__(self, base, **settings):
        self.scoring = HeldScoring()
        self.routing = ScriptedRouting()
        self.metrics = Metrics()
        self.health = Health((RESCORING, ADMIN))
        self.failed = asyncio.Event()
        defaults = {"port": 0, "front_processes": 2, "default_deadline_seconds": 60.0, "log_level": "error"}
        self.fronts = Fronts(
            ServeConfig(**{**defaults, **settings}), base_info(base), base.text_encoder, self.routing, self.scoring,
            self.metrics, self.health, on_failure=self.failed.set,
        )  # fmt: skip
        self.health.on_change = self.fronts.note_change
        self.port = 0

    async def start(self):
        self.port = await self.fronts.listen()
        self.health.serve()
        await self.fronts.settle()

    @asynccontextmanager
    async def channel(self):
        """A connection of its own: the kernel gives it to one of the fronts."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options=options) as channel:
            yield channel

    async def call(self, *texts, channel=None, **fields):
        """Rescores a list, on a new connection unless told otherwise."""
        hypotheses = [pb.Hypothesis(transcript=text, first_pass_score=-float(i)) for i, text in enumerate(texts)]
        request = pb.RescoreRequest(hypotheses=hypotheses, **{"domain": "voice", **fields})
        if channel is not None:
            return await rescoring_pb2_grpc.RescoringServiceStub(channel).Rescore(request, timeout=60)
        async with self.channel() as own:
            return await rescoring_pb2_grpc.RescoringServiceStub(own).Rescore(request, timeout=60)

    async def persistent_call(self, *texts, **fields):
        """The same by a caller that tries again, elsewhere, when a server is UNAVAILABLE."""
        while True:
            try:
                return await self.call(*texts, **fields)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise

    async def answered(self):
        """How many lists all fronts say they have rescored, asked for now."""
        return (await self.fronts.measure()).get(REQUESTS, 0.0)


@asynccontextmanager
async def started(base, **settings):
    """A server whose fronts serve; none of its processes is there afterwards."""
    server = Server(base, **settings)
    async with asyncio.timeout(START_SECONDS):
        try:
            await server.start()
            yield server
        finally:
            server.scoring.gate.set()
            processes = server.fronts.process_ids
            await server.fronts.stop(5.0)
    assert not [process for process in processes if psutil.pid_exists(process)]
    assert not server.fronts.process_ids


def test_two_fronts_take_calls_on_one_port(base):
    """The connections go to both, the scores come from the engine, and the counts are summed."""

    async def run():
        async with started(base) as server:
            answers = await asyncio.gather(*(server.call("the cat", "a cat", "cats") for _ in range(24)))
            assert {answer.outcome for answer in answers} == {pb.OUTCOME_RESCORED}
            assert {answer.adapter.version for answer in answers} == {adapter_handle(1).ref.version}
            assert len(server.scoring.jobs) == 24
            assert await server.answered() == 24
            shares = [peer.samples[REQUESTS] for _, peer in server.fronts._lives.values()]
            assert all(shares)  # 24 connections to one of two: once in 8 million

    asyncio.run(run())


def test_a_front_tells_what_the_server_is_and_how_it_is(base):
    """Server information, and health as the engine says it."""

    async def run():
        async with started(base, front_processes=1) as server, server.channel() as channel:
            info = await rescoring_pb2_grpc.RescoringServiceStub(channel).GetServerInfo(pb.GetServerInfoRequest())
            assert (info.base_name, info.base_fingerprint) == (base.name, base.fingerprint)
            assert list(info.domains) == ["radio", "voice"]
            watching = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=RESCORING))
            assert (await watching.read()).status == SERVING
            server.health.drain()
            assert (await watching.read()).status == NOT_SERVING
            assert (await server.call("the cat", "a cat", channel=channel)).outcome == pb.OUTCOME_RESCORED

    asyncio.run(run())


def test_a_killed_front_is_replaced_and_no_persistent_caller_loses_an_answer(base):
    """Its callers get UNAVAILABLE and try again; the other front's don't notice; counts never fall."""

    async def run():
        async with started(base) as server:
            await asyncio.gather(*(server.call("the cat", "a cat") for _ in range(12)))
            before = await server.answered()
            server.scoring.gate.clear()
            calls = [asyncio.create_task(server.persistent_call("the cat", "a cat")) for _ in range(12)]
            await until(lambda: len(server.scoring.jobs) == 24)
            victim, other = server.fronts.process_ids
            os.kill(victim, signal.SIGKILL)
            await until(lambda: server.metrics.registry.get_sample_value("lorb_front_restarts_total") == 1)
            assert await server.answered() >= before
            server.scoring.gate.set()
            answers = await asyncio.gather(*calls)
            assert {answer.outcome for answer in answers} == {pb.OUTCOME_RESCORED}
            while server.metrics.registry.get_sample_value("lorb_fronts") < 2:
                await asyncio.sleep(0.05)
            replacement, survivor = server.fronts.process_ids
            assert survivor == other
            assert replacement != victim
            after = await server.answered()
            assert after == before + 12

    asyncio.run(run())


def test_what_a_killed_front_had_in_the_engine_is_cancelled(base):
    """The model does no work for callers that have gone elsewhere."""

    async def run():
        async with started(base, front_processes=1) as server:
            server.scoring.gate.clear()
            call = asyncio.create_task(server.call("the cat", "a cat"))
            await until(lambda: server.scoring.jobs)
            os.kill(server.fronts.process_ids[0], signal.SIGKILL)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            await until(lambda: server.scoring.cancelled == 1)

    asyncio.run(run())


def test_a_front_that_dies_again_and_again_fails_the_server(base, monkeypatch):
    """It is given up, and whoever runs the server is told."""
    monkeypatch.setattr("lorb_server.fronts.restarts.MAX_DEATHS", 0)

    async def run():
        async with started(base, front_processes=1) as server:
            os.kill(server.fronts.process_ids[0], signal.SIGKILL)
            await server.failed.wait()

    asyncio.run(run())


def test_a_drain_finishes_what_is_in_flight(base):
    """Calls in flight are answered, and what they counted is not lost with the fronts."""

    async def run():
        async with started(base) as server:
            server.scoring.gate.clear()
            calls = [asyncio.create_task(server.call("the cat", "a cat")) for _ in range(6)]
            await until(lambda: len(server.scoring.jobs) == 6)
            stopping = asyncio.create_task(server.fronts.stop(30.0))
            await asyncio.sleep(0)
            server.scoring.gate.set()
            assert {answer.outcome for answer in await asyncio.gather(*calls)} == {pb.OUTCOME_RESCORED}
            await stopping
            assert server.fronts.samples()[REQUESTS] == 6

    asyncio.run(run())


def test_a_canary_through_a_front_falls_back_to_stable_and_is_withdrawn(base):
    """Scores that are not finite are the engine's to know of, wherever they were noticed."""

    async def run():
        async with started(base, front_processes=1) as server:
            canary = adapter_handle(7)
            server.routing.canaries["voice"] = (canary, {"anna"})
            server.fronts.note_change()
            await server.fronts.settle()
            stable_score = server.scoring.score

            async def score(job):
                scored = await stable_score(job)
                if job.adapter.ref == canary.ref:
                    return type(scored)((float("nan"),) * len(scored.scores), 0.0, 0.0)
                return scored

            server.scoring.score = score
            answer = await server.call("the cat", "a cat", routing_key="anna")
            assert answer.outcome == pb.OUTCOME_RESCORED
            assert answer.adapter.version == adapter_handle(1).ref.version
            await until(lambda: server.routing.withdrawn)
            assert server.routing.withdrawn[0][0] is canary

    asyncio.run(run())


def test_a_port_that_is_taken_is_refused(base):
    """By its setting's name, and nothing is started."""

    async def run():
        port = free_port()
        async with started(base, port=port, front_processes=1):
            second = Server(base, port=port)
            with pytest.raises(InvalidInput, match=f"--port {port}"):
                await second.start()
            assert not second.fronts.process_ids
            await second.fronts.stop(1.0)

    asyncio.run(run())


def test_a_front_that_cannot_be_started_ends_the_start(base, monkeypatch):
    """The server says so; it does not wait for ever."""
    monkeypatch.setattr(fronts_module.sys, "executable", "/nonexistent/python")

    async def run():
        server = Server(base, front_processes=1)
        with pytest.raises(Exception, match="front process cannot be started"):
            await server.start()
        await server.fronts.stop(1.0)

    asyncio.run(run())


def test_fronts_end_when_the_engine_is_gone(base):
    """Its end of the socket closes however it ends; no front outlives it."""

    async def run():
        async with started(base) as server:
            server.fronts._stopping.set()  # or they would be replaced
            processes = [process for process, _ in server.fronts._lives.values()]
            for _, peer in list(server.fronts._lives.values()):
                peer.connection._transport.abort()
            assert [await process.wait() for process in processes] == [1, 1]

    asyncio.run(run())
