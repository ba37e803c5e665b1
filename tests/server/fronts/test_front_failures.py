"""Fronts that are killed, cannot start or lose the engine process."""

import asyncio
import os
import signal

import grpc
import pytest

from lorb.v1 import rescoring_pb2 as pb
from lorb.v1 import rescoring_pb2_grpc
from lorb_server.fronts import fronts as fronts_module
from support.servers.certificates import Authority
from support.servers.front_pair import until
from support.servers.fronted_server import FrontedServer, fronted_server


def test_a_killed_front_is_replaced_and_retrying_callers_get_their_answers(base):
    """After a front is killed, retrying callers are answered, a new front starts, and the counts never decrease."""

    async def run():
        async with fronted_server(base) as server:
            await asyncio.gather(*(server.call("the cat", "a cat") for _ in range(12)))
            before = await server.count_rescored()
            server.scoring.gate.clear()
            calls = [asyncio.create_task(server.retrying_call("the cat", "a cat")) for _ in range(12)]
            await until(lambda: len(server.scoring.jobs) == 24)
            victim, other = server.fronts.process_ids
            os.kill(victim, signal.SIGKILL)
            await until(lambda: server.metrics.registry.get_sample_value("lorb_front_restarts_total") == 1)
            assert await server.count_rescored() >= before
            server.scoring.gate.set()
            answers = await asyncio.gather(*calls)
            assert {answer.outcome for answer in answers} == {pb.OUTCOME_RESCORED}
            while server.metrics.registry.get_sample_value("lorb_fronts") < 2:
                await asyncio.sleep(0.05)
            replacement, survivor = server.fronts.process_ids
            assert survivor == other
            assert replacement != victim
            after = await server.count_rescored()
            assert after == before + 12

    asyncio.run(run())


def test_the_jobs_of_a_killed_front_are_cancelled(base):
    """The engine cancels the jobs of a killed front; its callers get UNAVAILABLE."""

    async def run():
        async with fronted_server(base, front_processes=1) as server:
            server.scoring.gate.clear()
            call = asyncio.create_task(server.call("the cat", "a cat"))
            await until(lambda: server.scoring.jobs)
            os.kill(server.fronts.process_ids[0], signal.SIGKILL)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            await until(lambda: server.scoring.cancelled == 1)

    asyncio.run(run())


def test_repeated_crashes_of_a_front_stop_the_server(base, monkeypatch):
    """After more than MAX_DEATHS crashes the server's failure callback is called."""
    monkeypatch.setattr("lorb_server.fronts.restarts.MAX_DEATHS", 0)

    async def run():
        async with fronted_server(base, front_processes=1) as server:
            os.kill(server.fronts.process_ids[0], signal.SIGKILL)
            await server.failed.wait()

    asyncio.run(run())


async def replaced(server, victim):
    """Returns when another front serves in the place of `victim`."""
    while not server.fronts.process_ids or server.fronts.process_ids == [victim] or not server.fronts._num_ready():
        assert not server.failed.is_set()
        await asyncio.sleep(0.05)


async def status_of_call(channel, metadata=()):
    """The status of one call."""
    hypotheses = [pb.Hypothesis(transcript=text) for text in ("the cat", "a cat")]
    request = pb.RescoreRequest(hypotheses=hypotheses, domain="voice")
    call = rescoring_pb2_grpc.RescoringServiceStub(channel).Rescore(request, metadata=metadata, timeout=60)
    return await call.code()


@pytest.mark.parametrize("content", ["", "torn"])
def test_a_front_that_starts_again_over_a_broken_token_file_refuses_all_calls(base, tmp_path, content):
    """A replaced front serves although the token file is empty or broken, refuses every call, and reads a new file."""
    tokens = tmp_path / "tokens"
    tokens.write_text("kiosk:secret\n")
    bearer = (("authorization", "Bearer secret"),)

    async def status(server):
        async with server.channel() as channel:
            return await status_of_call(channel, bearer)

    async def run():
        async with fronted_server(base, front_processes=1, token_file=str(tokens)) as server:
            assert await status(server) is grpc.StatusCode.OK
            [victim] = server.fronts.process_ids
            tokens.write_text(content)
            os.kill(victim, signal.SIGKILL)
            await replaced(server, victim)
            assert await status(server) is grpc.StatusCode.UNAUTHENTICATED
            tokens.write_text("kiosk:secret\n")
            while await status(server) is not grpc.StatusCode.OK:
                await asyncio.sleep(0.05)

    asyncio.run(run())


def test_a_front_waits_for_a_usable_certificate(base, tmp_path, monkeypatch):
    """Fronts that find no TLS key are started again until there is one, more often than the server allows crashes.

    The file of the certificates' domains is broken as well: a call over the new front may use no domain.
    """
    monkeypatch.setattr("lorb_server.fronts.restarts.MAX_DEATHS", 1)
    monkeypatch.setattr(fronts_module, "LONGEST_PAUSE_SECONDS", 0.05, raising=False)
    authority, domains = Authority(tmp_path, "ca"), tmp_path / "domains"
    (certificate, key), (caller, callers_key) = authority.issue("server"), authority.issue("kiosk")
    domains.write_text("kiosk voice\n")
    files = {"tls_certificate": certificate, "tls_key": key, "tls_client_ca": authority.path}
    settings = {name: str(path) for name, path in {**files, "certificate_domains": domains}.items()}

    async def run():
        async with fronted_server(base, front_processes=1, **settings) as server:
            [victim] = server.fronts.process_ids
            content = key.read_bytes()
            key.unlink()
            domains.write_text("'torn")
            os.kill(victim, signal.SIGKILL)
            while server.metrics.registry.get_sample_value("lorb_front_restarts_total") < 3:
                assert not server.failed.is_set()
                await asyncio.sleep(0.05)
            key.write_bytes(content)
            await replaced(server, victim)
            credentials = grpc.ssl_channel_credentials(
                authority.path.read_bytes(), callers_key.read_bytes(), caller.read_bytes()
            )
            async with grpc.aio.secure_channel(f"localhost:{server.port}", credentials) as channel:
                assert await status_of_call(channel) is grpc.StatusCode.PERMISSION_DENIED

    asyncio.run(run())


def test_a_front_that_cannot_start_fails_the_server_start(base, monkeypatch):
    """If the front's program is missing, the start of the server raises an error."""
    monkeypatch.setattr(fronts_module.sys, "executable", "/nonexistent/python")

    async def run():
        server = FrontedServer(base, front_processes=1)
        with pytest.raises(Exception, match="front process cannot be started"):
            await server.start()
        await server.fronts.stop(1.0)

    asyncio.run(run())


def test_fronts_end_when_the_engine_process_is_gone(base):
    """Fronts exit with status 1 when the engine process closes its sockets."""

    async def run():
        async with fronted_server(base) as server:
            server.fronts._stopping.set()  # otherwise the server would replace the fronts
            processes = [process for process, _ in server.fronts._running.values()]
            for _, peer in list(server.fronts._running.values()):
                peer.connection._transport.abort()
            assert [await process.wait() for process in processes] == [1, 1]

    asyncio.run(run())
