"""A front or an engine process that dies, sends invalid frames, sends too many jobs or does not read."""

import asyncio

import pytest

from lorb.errors import Unavailable
from lorb_server.fronts import front_peer
from lorb_server.fronts.connection import HIGH_WATER_BYTES
from lorb_server.fronts.frames import Kind, frame
from support.servers.front_pair import connected, job, until


def test_the_jobs_of_a_dead_front_are_cancelled():
    """When the connection closes, the engine cancels the jobs of the front, and their calls raise Unavailable."""

    async def run():
        async with connected() as pair:
            pair.scoring.gate.clear()
            tasks = [asyncio.create_task(pair.link.score(await job(pair, 1))) for _ in range(3)]
            await until(lambda: len(pair.scoring.jobs) == 3)
            pair.link.connection.close()
            await until(lambda: pair.scoring.cancelled == 3)
            errors = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(error) for error in errors} == {Unavailable}

    asyncio.run(run())


def test_calls_fail_at_once_when_the_engine_is_gone():
    """Waiting and new calls raise Unavailable, so that the caller tries another server."""

    async def run():
        async with connected() as pair:
            pair.scoring.gate.clear()
            waiting = await job(pair, 1)
            task = asyncio.create_task(pair.link.score(waiting))
            await until(lambda: pair.scoring.jobs)
            pair.peer.connection.close()
            with pytest.raises(Unavailable):
                await task
            await pair.link.lost
            with pytest.raises(Unavailable):
                pair.link.check_admission(waiting, 1)
            with pytest.raises(Unavailable):
                await pair.link.score(waiting)

    asyncio.run(run())


@pytest.mark.parametrize(
    "invalid",
    [
        b"\xff" * 64,
        frame(Kind.SCORED, 1),
        frame(Kind.SUBMIT, 1, b"short"),
        frame(Kind.MEASURED, 0, b"{"),
        frame(Kind.ROUTE, 1, b"no JSON"),
    ],
)
def test_the_engine_closes_the_connection_after_an_invalid_frame(invalid):
    """After an invalid frame from a front, both ends of the connection are closed."""

    async def run():
        async with connected() as pair:
            pair.link.connection._transport.write(invalid)
            await pair.link.lost
            assert pair.peer.connection.is_closed

    asyncio.run(run())


def test_the_engine_stops_reading_from_a_front_with_too_many_jobs(monkeypatch):
    """At MAX_JOBS jobs the engine stops reading; it processes the waiting frames after jobs have finished."""
    monkeypatch.setattr(front_peer, "MAX_JOBS", 4)

    async def run():
        async with connected() as pair:
            pair.scoring.gate.clear()
            tasks = [asyncio.create_task(pair.link.score(await job(pair, n))) for n in range(4)]
            await until(lambda: pair.peer.num_jobs == 4)
            route = asyncio.create_task(pair.link.route("radio", ""))
            await asyncio.sleep(0.02)
            assert ("radio", "") not in pair.routing.asked
            pair.scoring.gate.set()
            assert [scored.scores for scored in await asyncio.gather(*tasks)] == [(float(n),) for n in range(4)]
            await route

    asyncio.run(run())


def test_the_write_buffer_of_a_front_that_does_not_read_is_bounded():
    """The engine stops reading jobs from the front, and buffers at most the high-water mark and the latest state."""

    async def run():
        async with connected() as pair:
            sent = await job(pair, *range(1000))
            pair.link.connection.pause_reading()
            tasks = []

            def is_full():
                if not pair.peer._is_paused:
                    tasks.append(asyncio.create_task(pair.link.score(sent)))
                return pair.peer._is_paused

            await until(is_full)
            for _ in range(1000):
                pair.peer.send_state()
            transport = pair.peer.connection._transport
            assert transport.get_write_buffer_size() < 2 * HIGH_WATER_BYTES
            pair.state = type(pair.state)(9, is_serving=False, has_served=True)
            pair.link.connection.resume_reading()
            results = await asyncio.gather(*tasks)
            assert {len(scored.scores) for scored in results} == {1000}
            await pair.peer.wait_for_state(9)
            assert pair.health.serving is False

    asyncio.run(run())
