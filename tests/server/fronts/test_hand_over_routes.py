"""Routes over the socket: a front asks the engine for adapters and canaries."""

import asyncio
import dataclasses

import pytest

from lorb.errors import Unavailable, UnknownDomain
from lorb_server.adapter import AdapterHandle
from support.servers.front_pair import connected, job, until
from support.servers.stub_model import adapter_handle


def test_an_adapter_handle_reaches_the_front_complete():
    """Every field of the AdapterHandle in the front equals the field in the engine."""

    async def run():
        async with connected() as pair:
            adapter = (await pair.link.route("voice", "")).adapter
            original = pair.routing.adapters["voice"]
            for field in (one.name for one in dataclasses.fields(AdapterHandle)):
                assert getattr(adapter, field) == getattr(original, field)

    asyncio.run(run())


def test_a_route_is_cached_until_the_engine_state_changes():
    """The front asks for a route once; the first call after a change gets the new adapter."""

    async def run():
        async with connected() as pair:
            first = await pair.link.route("voice", "a")
            assert await pair.link.route("voice", "b") is first
            assert pair.routing.asked == [("voice", "a")]
            pair.routing.adapters["voice"] = adapter_handle(5)
            await pair.change()
            assert (await pair.link.route("voice", "a")).adapter.ref == adapter_handle(5).ref

    asyncio.run(run())


def test_a_call_in_flight_keeps_its_adapter_when_stable_changes():
    """A list is scored by the version that it was admitted with."""

    async def run():
        async with connected() as pair:
            admitted = await job(pair, 1)
            before = pair.routing.adapters["voice"]
            pair.routing.adapters["voice"] = adapter_handle(5)
            await pair.change()
            await pair.link.score(admitted)
            assert pair.scoring.jobs[0].adapter is before

    asyncio.run(run())


def test_the_engine_routes_each_call_of_a_domain_with_a_canary():
    """The front asks for every call; a routing key always gets the same adapter, and a canary comes with stable."""

    async def run():
        async with connected() as pair:
            canary = adapter_handle(7)
            pair.routing.canaries["voice"] = (canary, {"anna"})
            for _ in range(2):
                route = await pair.link.route("voice", "anna")
                assert (route.adapter.ref, route.stable.ref) == (canary.ref, adapter_handle(1).ref)
                assert (await pair.link.route("voice", "ben")).adapter.ref == adapter_handle(1).ref
            assert len(pair.routing.asked) == 4

    asyncio.run(run())


def test_a_failed_canary_is_withdrawn_in_the_engine():
    """The engine receives the adapter and the reason when a front withdraws a canary."""

    async def run():
        async with connected() as pair:
            canary = adapter_handle(7)
            pair.routing.canaries["voice"] = (canary, {"anna"})
            route = await pair.link.route("voice", "anna")
            pair.link.withdraw_canary(route.adapter, "its scores came out as NaN")
            await until(lambda: pair.routing.withdrawn)
            assert pair.routing.withdrawn == [(canary, "its scores came out as NaN")]

    asyncio.run(run())


def test_an_unknown_domain_is_an_error_and_is_not_cached():
    """A front raises the engine's UnknownDomain and asks again for the next call, because the domain may appear."""

    async def run():
        async with connected() as pair:
            pair.routing.trouble = UnknownDomain("no domain 'tv' is served here", field="domain")
            for _ in range(2):
                with pytest.raises(UnknownDomain, match="'tv'") as caught:
                    await pair.link.route("tv", "")
                assert caught.value.field == "domain"
            assert len(pair.routing.asked) == 2

    asyncio.run(run())


def test_a_job_for_an_unknown_adapter_is_unavailable():
    """A job whose adapter the engine never named to this front raises Unavailable, and is not scored."""

    async def run():
        async with connected() as pair:
            stray = await job(pair, 1)
            stray.adapter = adapter_handle(7)
            with pytest.raises(Unavailable):
                await pair.link.score(stray)
            assert not pair.scoring.jobs

    asyncio.run(run())
