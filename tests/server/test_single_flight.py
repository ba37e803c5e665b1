"""One load for all who wait for it."""

import asyncio

import pytest

from lorb.errors import StoreUnavailable
from lorb_server.single_flight import SingleFlight
from support.servers.serving import SimulatedClock


class Loads:
    """Counts loads, which wait for a gate and may fail."""

    def __init__(self):
        self.count = 0
        self.trouble = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self):
        self.count += 1
        number = self.count
        await self.gate.wait()
        if self.trouble is not None:
            raise self.trouble
        return number


def test_callers_share_a_load():
    """All who come while it runs get its result; the next one loads anew."""

    async def test():
        shared, load = SingleFlight(), Loads()
        results = await asyncio.gather(*(shared.join("a", load) for _ in range(5)))
        assert results == [1] * 5
        assert await shared.join("a", load) == 2

    asyncio.run(test())


def test_one_callers_cancellation_is_not_the_others():
    """The load goes on, even where everybody left."""

    async def test():
        shared, load = SingleFlight(), Loads()
        load.gate.clear()
        first, second = (asyncio.create_task(shared.join("a", load)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        load.gate.set()
        assert await second == 1

    asyncio.run(test())


def test_a_failure_is_not_repeated_at_once():
    """All who waited fail; those who come too soon get an equal error of their own; then it is tried again."""

    async def test():
        clock = SimulatedClock()
        shared, load = SingleFlight(back_off_seconds=2.0, clock=clock), Loads()
        load.trouble = StoreUnavailable("gone", field="store")
        results = await asyncio.gather(*(shared.join("a", load) for _ in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [StoreUnavailable] * 3
        clock.now += 1.9
        with pytest.raises(StoreUnavailable, match="gone") as caught:
            await shared.join("a", load)
        assert caught.value is not load.trouble
        assert caught.value.field == "store"
        shared.start("a", load)
        assert load.count == 1
        assert await shared.join("b", Loads()) == 1
        clock.now += 0.2
        load.trouble = None
        assert await shared.join("a", load) == 2

    asyncio.run(test())


def test_the_impatient_try_again():
    """Who asks for it, or has had the failure forgotten, does not wait for the moment to pass."""

    async def test():
        shared, load = SingleFlight(clock=SimulatedClock()), Loads()
        load.trouble = StoreUnavailable("gone")
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await shared.join("a", load, backs_off=False)
        assert load.count == 2
        shared.forget("a")
        load.trouble = None
        assert await shared.join("a", load) == 3

    asyncio.run(test())


def test_closing_ends_what_runs():
    """Its waiters are let go, and no task is left."""

    async def test():
        shared, load = SingleFlight(), Loads()
        load.gate.clear()
        waiting = asyncio.create_task(shared.join("a", load))
        await asyncio.sleep(0)
        await shared.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(test())
