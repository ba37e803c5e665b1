"""lorb_server.fronts.held_adapters: a number lasts as long as a cached route or a call of a front uses it."""

import asyncio
import gc

from lorb_server.fronts.held_adapters import AdapterNumbers, FrontHolds, HeldAdapters
from support.servers.front_pair import connected, job, until
from support.servers.stub_model import adapter_handle


def test_a_cached_route_outlasts_many_other_adapters():
    """A call on a route that was cached before 17,000 other adapters were routed is scored, at the first attempt."""

    async def run():
        async with connected() as pair:
            first = await pair.link.route("voice", "")
            for number in range(10, 17_010):
                pair.routing.adapters["voice@latest"] = adapter_handle(number, "voice")
                pair.routing.canaries["voice@latest"] = (None, ())  # this route is not cached
                await pair.link.route("voice@latest", "")
            again = await job(pair, 5)
            assert again.adapter is first.adapter
            assert (await pair.link.score(again)).scores == (5.0,)
            assert pair.routing.asked.count(("voice", "")) == 1

    asyncio.run(run())


def test_numbers_are_released_when_routes_and_calls_are_gone():
    """After a change of state, the engine keeps only the numbers of calls in flight, and then none."""

    async def run():
        async with connected() as pair:
            for domain in ("voice", "radio"):
                await pair.link.route(domain, "")
            in_flight = await job(pair, 5)
            assert len(pair.numbers) == 2
            await pair.change()
            await until(lambda: len(pair.numbers) == 1)
            assert (await pair.link.score(in_flight)).scores == (5.0,)
            del in_flight
            pair.scoring.jobs.clear()
            gc.collect()
            await until(lambda: len(pair.numbers) == 0)

    asyncio.run(run())


def test_a_front_that_ends_releases_its_numbers():
    """The engine forgets the numbers of a front whose connection has ended."""

    async def run():
        async with connected() as pair:
            route = await pair.link.route("voice", "")
            pair.link.connection.close()
            await until(lambda: len(pair.numbers) == 0)
            assert route.adapter.ref.domain == "voice"

    asyncio.run(run())


def test_a_number_lasts_until_every_front_has_released_it():
    """Two fronts hold one adapter under one number; it is forgotten after both have released every use."""
    numbers, adapter = AdapterNumbers(), adapter_handle(1)
    first, second = FrontHolds(numbers), FrontHolds(numbers)
    assert first.hold(adapter) == first.hold(adapter) == second.hold(adapter) == 1
    first.release(1, 1)
    second.release(1, 5)  # more than it has: no other front's use is taken
    assert numbers.get(1) is adapter
    first.release_all()
    assert numbers.get(1) is None
    assert first.hold(adapter) == 2


def test_a_number_that_crosses_with_its_release_stays():
    """The engine sends a number again while the front releases it: the new use counts, so the number stays known."""
    numbers, adapter, sent = AdapterNumbers(), adapter_handle(1), []
    engine, front = FrontHolds(numbers), HeldAdapters(lambda *released: sent.append(released))
    held = front.receive(engine.hold(adapter), adapter_handle(1))
    number = engine.hold(adapter)  # on its way
    del held
    gc.collect()
    assert sent == [(1, 1)]
    held = front.receive(number, adapter_handle(1))
    engine.release(*sent.pop())
    assert numbers.get(front.number(held)) is adapter
    del held
    gc.collect()
    engine.release(*sent.pop())
    assert len(numbers) == 0
