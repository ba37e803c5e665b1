"""A front and the engine process over a real socket: scores, routes, health, and what goes wrong."""

import asyncio
import dataclasses
from contextlib import suppress

import pytest

from front_pair import connected, until
from lorb.errors import ModelFailed, Overloaded, Unavailable, UnknownDomain
from lorb_server.fronts import adapter_codec, front_peer
from lorb_server.fronts.connection import HIGH_WATER_BYTES
from lorb_server.fronts.engine_link import EngineLink
from lorb_server.fronts.frames import Kind, frame
from lorb_server.job import Job, Lane
from lorb_server.served import ServedAdapter
from serving import row, served_adapter


async def job(pair, *first_tokens, domain="voice"):
    route = await pair.link.route(domain, "")
    return Job([row(token, 2, 3) for token in first_tokens], route.adapter, 1e12)


def test_a_job_is_scored_behind_the_socket():
    """The engine gets the job with its own adapter object, the front all of the result."""

    async def run():
        async with connected() as pair:
            sent = await job(pair, 7, 9)
            scored = await pair.link.score(sent)
            assert (scored.scores, scored.queue_seconds, scored.infer_seconds, scored.num_cached) == (
                (7.0, 9.0), 0.25, 0.5, 1,
            )  # fmt: skip
            [got] = pair.scoring.jobs
            assert got.adapter is pair.routing.adapters["voice"]
            assert list(got.rows) == list(sent.rows)

    asyncio.run(run())


def test_an_adapter_reaches_the_front_whole():
    """All but its weights."""

    async def run():
        async with connected() as pair:
            adapter = (await pair.link.route("voice", "")).adapter
            original = pair.routing.adapters["voice"]
            for field in (one.name for one in dataclasses.fields(ServedAdapter)):
                assert getattr(adapter, field) == getattr(original, field)

    asyncio.run(run())


def test_many_jobs_are_answered_each_with_its_own_scores():
    """In whatever order they are done."""

    async def run():
        async with connected() as pair:
            jobs = [await job(pair, number, number + 1) for number in range(200)]
            results = await asyncio.gather(*map(pair.link.score, jobs))
            assert [scored.scores for scored in results] == [(float(n), float(n + 1)) for n in range(200)]

    asyncio.run(run())


@pytest.mark.parametrize("error", [Overloaded("full"), ModelFailed("it raised"), Unavailable("going down")])
def test_an_error_comes_back_as_itself(error):
    """By type and message."""

    async def run():
        async with connected() as pair:
            pair.scoring.trouble = error
            with pytest.raises(type(error), match=error.message):
                await pair.link.score(await job(pair, 1))

    asyncio.run(run())


def test_an_error_nobody_foresaw_keeps_its_words_in_the_engine():
    """They may quote a caller's text. Counted there alone: the front only passes on what it is told."""

    async def run():
        async with connected() as pair:
            pair.scoring.trouble = KeyError("the secret cat")
            with pytest.raises(ModelFailed) as caught:
                await pair.link.score(await job(pair, 1))
            assert "cat" not in caught.value.message
            assert pair.metrics.registry.get_sample_value("lorb_internal_errors_total") == 1

    asyncio.run(run())


def test_a_full_queue_is_remembered_for_its_domain_and_lane_alone():
    """The next texts would be tokenised in vain; other domains and lanes have room of their own."""

    async def run():
        async with connected() as pair:
            pair.scoring.trouble = Overloaded("full")
            submitted = await job(pair, 1)
            with suppress(Overloaded):
                await pair.link.score(submitted)
            with pytest.raises(Overloaded):
                pair.link.check_room("voice", Lane.SINGLE)
            pair.link.check_room("voice", Lane.BULK)
            pair.link.check_room("radio", Lane.SINGLE)

            def has_room():
                with suppress(Overloaded):
                    pair.link.check_room("voice", Lane.SINGLE)
                    return True
                return False

            await until(has_room)

    asyncio.run(run())


def test_a_cancelled_job_is_cancelled_in_the_engine():
    """Nobody waits for it any more."""

    async def run():
        async with connected() as pair:
            pair.scoring.gate.clear()
            task = asyncio.create_task(pair.link.score(await job(pair, 1)))
            await until(lambda: pair.scoring.jobs)
            task.cancel()
            await until(lambda: pair.scoring.cancelled == 1)
            assert pair.peer.num_jobs == 0

    asyncio.run(run())


def test_a_front_that_dies_takes_its_jobs_with_it():
    """The engine works for nobody."""

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
    """Those that wait and those that come: UNAVAILABLE, so that the caller tries another server."""

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
                pair.link.check_room("voice", Lane.SINGLE)
            with pytest.raises(Unavailable):
                await pair.link.score(waiting)

    asyncio.run(run())


def test_a_route_is_asked_for_once_until_something_changes():
    """The next call after a flip gets the new adapter."""

    async def run():
        async with connected() as pair:
            first = await pair.link.route("voice", "a")
            assert await pair.link.route("voice", "b") is first
            assert pair.routing.asked == [("voice", "a")]
            pair.routing.adapters["voice"] = served_adapter(5)
            await pair.change()
            assert (await pair.link.route("voice", "a")).adapter.ref == served_adapter(5).ref

    asyncio.run(run())


def test_a_call_in_flight_keeps_its_adapter_over_a_flip():
    """It is scored by the version that it was admitted with."""

    async def run():
        async with connected() as pair:
            admitted = await job(pair, 1)
            before = pair.routing.adapters["voice"]
            pair.routing.adapters["voice"] = served_adapter(5)
            await pair.change()
            await pair.link.score(admitted)
            assert pair.scoring.jobs[0].adapter is before

    asyncio.run(run())


def test_a_canary_is_decided_call_by_call_in_the_engine():
    """The same routing key always has the same answer, and what to fall back to."""

    async def run():
        async with connected() as pair:
            canary = served_adapter(7)
            pair.routing.canaries["voice"] = (canary, {"anna"})
            for _ in range(2):
                route = await pair.link.route("voice", "anna")
                assert (route.adapter.ref, route.stable.ref) == (canary.ref, served_adapter(1).ref)
                assert (await pair.link.route("voice", "ben")).adapter.ref == served_adapter(1).ref
            assert len(pair.routing.asked) == 4

    asyncio.run(run())


def test_a_failed_canary_is_withdrawn_in_the_engine():
    """With the reason, for the operator."""

    async def run():
        async with connected() as pair:
            canary = served_adapter(7)
            pair.routing.canaries["voice"] = (canary, {"anna"})
            route = await pair.link.route("voice", "anna")
            pair.link.withdraw_canary(route.adapter, "its scores came out as NaN")
            await until(lambda: pair.routing.withdrawn)
            assert pair.routing.withdrawn == [(canary, "its scores came out as NaN")]

    asyncio.run(run())


def test_an_unknown_domain_is_unknown_through_a_front_too():
    """And is not remembered: it may be published any moment."""

    async def run():
        async with connected() as pair:
            pair.routing.trouble = UnknownDomain("no domain 'tv' is served here", field="domain")
            for _ in range(2):
                with pytest.raises(UnknownDomain, match="'tv'") as caught:
                    await pair.link.route("tv", "")
                assert caught.value.field == "domain"
            assert len(pair.routing.asked) == 2

    asyncio.run(run())


def test_an_adapter_that_the_engine_has_forgotten_is_unavailable():
    """Bounded memory for adapters' numbers: such a call is to be tried again, not scored by another adapter."""

    async def run():
        async with connected() as pair:
            pair.numbers._max_adapters = 1
            old = await job(pair, 1)
            await pair.link.route("radio", "")
            with pytest.raises(Unavailable):
                await pair.link.score(old)
            assert not pair.scoring.jobs

    assert adapter_codec.MAX_NUMBERED_ADAPTERS > 1000
    asyncio.run(run())


def test_health_and_domains_follow_the_engine():
    """What a front says of itself is what the engine says."""

    async def run():
        async with connected() as pair:
            assert (pair.health.serving, pair.health.has_served) == (True, True)
            await until(lambda: list(pair.link.served_domains()) == ["radio", "voice"])
            pair.routing.adapters["tv"] = served_adapter(3, "tv")
            await pair.change(is_serving=False)
            assert (pair.health.serving, pair.health.has_served) == (False, True)
            await until(lambda: list(pair.link.served_domains()) == ["radio", "tv", "voice"])

    asyncio.run(run())


def test_what_a_front_counts_can_be_asked_for():
    """As new as the question."""

    async def run():
        async with connected() as pair:
            pair.metrics.abandoned.inc(3)
            await pair.peer.measured()
            key = ("lorb_rescore_abandoned", "lorb_rescore_abandoned_total", ())
            assert pair.peer.samples[key] == 3
            pair.metrics.abandoned.inc()
            await pair.peer.measured()
            assert pair.peer.samples[key] == 4

    asyncio.run(run())


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\xff" * 64,
        frame(Kind.SCORED, 1),
        frame(Kind.SUBMIT, 1, b"short"),
        frame(Kind.MEASURED, 0, b"{"),
        frame(Kind.ROUTE, 1, b"no JSON"),
    ],
)
def test_a_front_that_talks_nonsense_is_cut_off(nonsense):
    """It notices and ends; the engine goes on."""

    async def run():
        async with connected() as pair:
            pair.link.connection._transport.write(nonsense)
            await pair.link.lost
            assert pair.peer.connection.is_closed

    asyncio.run(run())


def test_a_front_with_too_many_jobs_is_not_listened_to(monkeypatch):
    """What it sends waits in the socket, and is done once there is room."""
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


def test_a_front_that_does_not_read_cannot_make_the_engine_grow():
    """The engine stops listening to it, and keeps no more than the high-water mark and the latest state."""

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
                pair.peer.tell_state()
            transport = pair.peer.connection._transport
            assert transport.get_write_buffer_size() < 2 * HIGH_WATER_BYTES
            pair.state = type(pair.state)(9, is_serving=False, has_served=True)
            pair.link.connection.resume_reading()
            results = await asyncio.gather(*tasks)
            assert {len(scored.scores) for scored in results} == {1000}
            await pair.peer.settled(9)
            assert pair.health.serving is False

    asyncio.run(run())


def test_a_front_says_when_it_is_ready_or_why_it_cannot_be():
    """The server's start waits for it."""

    async def run():
        async with connected() as pair:
            assert not pair.peer.is_ready
            pair.link.say_ready(50051)
            assert await pair.peer.ready == 50051
            assert pair.peer.is_ready
        async with connected() as pair:
            pair.link.say_refused(Overloaded("no room"))
            with pytest.raises(Overloaded, match="no room"):
                await pair.peer.ready

    asyncio.run(run())


def test_a_front_is_told_to_drain():
    """With the grace that it may take."""

    async def run():
        async with connected() as pair:
            assert isinstance(pair.link, EngineLink)
            pair.peer.drain(2.5)
            assert await pair.link.drained == 2.5

    asyncio.run(run())
