"""A front and the engine process over a real socket: jobs, scores, health, counts, start and drain."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from lorb.errors import ModelFailed, Overloaded, Unavailable
from lorb_server.call import Priority
from lorb_server.fronts.engine_link import EngineLink
from support.servers.front_pair import connected, job, until
from support.servers.stub_model import adapter_handle


def test_a_job_is_scored_over_the_socket():
    """The engine receives the job with its own adapter object; the front receives every field of the result."""

    async def run():
        async with connected() as pair:
            sent = await job(pair, 7, 9)
            scored = await pair.link.score(sent)
            assert (scored.scores, scored.queue_seconds, scored.infer_seconds, scored.num_cached) == (
                (7.0, 9.0), 0.25, 0.5, 1,
            )  # fmt: skip
            [got] = pair.scoring.jobs
            assert got.adapter is pair.routing.adapters["voice"]
            assert list(got.hypotheses) == list(sent.hypotheses)

    asyncio.run(run())


def test_concurrent_jobs_get_their_own_scores():
    """Each of 200 concurrent jobs gets its own scores."""

    async def run():
        async with connected() as pair:
            jobs = [await job(pair, number, number + 1) for number in range(200)]
            results = await asyncio.gather(*map(pair.link.score, jobs))
            assert [scored.scores for scored in results] == [(float(n), float(n + 1)) for n in range(200)]

    asyncio.run(run())


@pytest.mark.parametrize("error", [Overloaded("full"), ModelFailed("it raised"), Unavailable("going down")])
def test_an_error_keeps_its_type_and_message(error):
    """An error in the engine is raised in the front with the same type and message."""

    async def run():
        async with connected() as pair:
            pair.scoring.trouble = error
            with pytest.raises(type(error), match=error.message):
                await pair.link.score(await job(pair, 1))

    asyncio.run(run())


def test_the_message_of_an_unexpected_error_stays_in_the_engine():
    """The front gets a ModelFailed without the message, which may quote a caller; the engine counts the error once."""

    async def run():
        async with connected() as pair:
            pair.scoring.trouble = KeyError("the secret cat")
            with pytest.raises(ModelFailed) as caught:
                await pair.link.score(await job(pair, 1))
            assert "cat" not in caught.value.message
            assert pair.metrics.registry.get_sample_value("lorb_internal_errors_total") == 1

    asyncio.run(run())


def test_a_full_queue_is_remembered_for_its_domain_and_priority():
    """The front refuses the next list of that domain and priority for a while, and admits all others."""

    async def run():
        async with connected() as pair:
            pair.scoring.trouble = Overloaded("full")
            submitted = await job(pair, 1)
            with suppress(Overloaded):
                await pair.link.score(submitted)
            with pytest.raises(Overloaded):
                pair.link.check_admission(submitted, 1)
            pair.link.check_admission(replace(submitted, priority=Priority.BATCH), 1)
            pair.link.check_admission(await job(pair, 1, domain="radio"), 1)

            def has_room():
                with suppress(Overloaded):
                    pair.link.check_admission(submitted, 1)
                    return True
                return False

            await until(has_room)

    asyncio.run(run())


def test_a_cancelled_job_is_cancelled_in_the_engine():
    """If the front cancels a job, the engine cancels it too."""

    async def run():
        async with connected() as pair:
            pair.scoring.gate.clear()
            task = asyncio.create_task(pair.link.score(await job(pair, 1)))
            await until(lambda: pair.scoring.jobs)
            task.cancel()
            await until(lambda: pair.scoring.cancelled == 1)
            assert pair.peer.num_jobs == 0

    asyncio.run(run())


def test_health_and_domains_follow_the_engine():
    """A change of health or of the served domains in the engine reaches the front."""

    async def run():
        async with connected() as pair:
            assert (pair.health.serving, pair.health.has_served) == (True, True)
            await until(lambda: list(pair.link.served_domains()) == ["radio", "voice"])
            pair.routing.adapters["tv"] = adapter_handle(3, "tv")
            await pair.change(is_serving=False)
            assert (pair.health.serving, pair.health.has_served) == (False, True)
            await until(lambda: list(pair.link.served_domains()) == ["radio", "tv", "voice"])

    asyncio.run(run())


def test_the_engine_reads_the_current_counts_of_a_front():
    """Each request for the metrics of a front returns the current values."""

    async def run():
        async with connected() as pair:
            pair.metrics.abandoned.inc(3)
            await pair.peer.fetch_samples()
            key = ("lorb_rescore_abandoned", "lorb_rescore_abandoned_total", ())
            assert pair.peer.samples[key] == 3
            pair.metrics.abandoned.inc()
            await pair.peer.fetch_samples()
            assert pair.peer.samples[key] == 4

    asyncio.run(run())


def test_a_front_reports_that_it_is_ready_or_why_it_failed():
    """The engine receives the port of a front that is ready, or the error of a front that cannot start."""

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
    """A front receives the request to drain with its grace period."""

    async def run():
        async with connected() as pair:
            assert isinstance(pair.link, EngineLink)
            pair.peer.drain(2.5)
            assert await pair.link.drained == 2.5

    asyncio.run(run())
