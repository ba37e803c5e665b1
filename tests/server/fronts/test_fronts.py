"""Front processes share a port, health, metrics and canaries with the engine process, and drain."""

import asyncio

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lorb.errors import InvalidInput
from lorb.v1 import rescoring_pb2 as pb
from lorb.v1 import rescoring_pb2_grpc
from lorb_server.rpc.server import RESCORING
from support.servers.front_pair import until
from support.servers.fronted_server import RESCORED_LISTS, FrontedServer, fronted_server
from support.servers.health_checks import NOT_SERVING, SERVING
from support.servers.serving import free_port
from support.servers.stub_model import adapter_handle


def test_two_fronts_share_a_port_and_their_counts_are_summed(base):
    """Connections reach both fronts, the scores come from the engine process, and the metrics are added up."""

    async def run():
        async with fronted_server(base) as server:
            answers = await asyncio.gather(*(server.call("the cat", "a cat", "cats") for _ in range(24)))
            assert {answer.outcome for answer in answers} == {pb.OUTCOME_RESCORED}
            assert {answer.adapter.version for answer in answers} == {adapter_handle(1).ref.version}
            assert len(server.scoring.jobs) == 24
            assert await server.count_rescored() == 24
            shares = [peer.samples[RESCORED_LISTS] for _, peer in server.fronts._running.values()]
            assert all(shares)  # all 24 connections reach the same front with a probability of 1 in 8 million

    asyncio.run(run())


def test_a_front_reports_server_info_and_health(base):
    """GetServerInfo describes the base and the domains; the health follows the engine process."""

    async def run():
        async with fronted_server(base, front_processes=1) as server, server.channel() as channel:
            info = await rescoring_pb2_grpc.RescoringServiceStub(channel).GetServerInfo(pb.GetServerInfoRequest())
            assert (info.base_name, info.base_fingerprint) == (base.name, base.fingerprint)
            assert list(info.domains) == ["radio", "voice"]
            watching = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=RESCORING))
            assert (await watching.read()).status == SERVING
            server.health.drain()
            assert (await watching.read()).status == NOT_SERVING
            assert (await server.call("the cat", "a cat", channel=channel)).outcome == pb.OUTCOME_RESCORED

    asyncio.run(run())


def test_a_drain_answers_the_calls_in_flight(base):
    """Calls in flight are answered during a drain, and their counts remain after the fronts have ended."""

    async def run():
        async with fronted_server(base) as server:
            server.scoring.gate.clear()
            calls = [asyncio.create_task(server.call("the cat", "a cat")) for _ in range(6)]
            await until(lambda: len(server.scoring.jobs) == 6)
            stopping = asyncio.create_task(server.fronts.stop(30.0))
            await asyncio.sleep(0)
            server.scoring.gate.set()
            assert {answer.outcome for answer in await asyncio.gather(*calls)} == {pb.OUTCOME_RESCORED}
            await stopping
            assert server.fronts.samples()[RESCORED_LISTS] == 6

    asyncio.run(run())


def test_a_front_withdraws_a_canary_with_non_finite_scores(base):
    """A front that gets non-finite scores from a canary answers with stable; the engine withdraws the canary."""

    async def run():
        async with fronted_server(base, front_processes=1) as server:
            canary = adapter_handle(7)
            server.routing.canaries["voice"] = (canary, {"anna"})
            server.fronts.note_change()
            await server.fronts.wait_for_state()
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


def test_a_port_in_use_is_refused(base):
    """A second server on the port fails with an error that names --port, and starts no front."""

    async def run():
        port = free_port()
        async with fronted_server(base, port=port, front_processes=1):
            second = FrontedServer(base, port=port)
            with pytest.raises(InvalidInput, match=f"--port {port}"):
                await second.start()
            assert not second.fronts.process_ids
            await second.fronts.stop(1.0)

    asyncio.run(run())
