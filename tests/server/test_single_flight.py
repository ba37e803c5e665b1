"""lorb_server.single_flight: shared loads and back-off after failures."""

import asyncio

import pytest

from lorb.errors import StoreUnavailable
from lorb_server.single_flight import SingleFlight
from support.servers.serving import SimulatedClock


class Loads:
    """Counts loads, which wait for a gate and may raise."""

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
    """Callers during a load share its result; a later caller loads anew."""

    async def test():
        shared, load = SingleFlight(), Loads()
        results = await asyncio.gather(*(shared.join("a", load) for _ in range(5)))
        assert results == [1] * 5
        assert await shared.join("a", load) == 2

    asyncio.run(test())


def test_a_cancelled_caller_does_not_cancel_the_load():
    """Cancelling a caller does not cancel the load."""

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


def test_a_failed_load_backs_off():
    """A failure is repeated to callers during the back-off, and the load runs again afterwards."""

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


def test_callers_may_skip_the_back_off():
    """A caller without back-off, or after `forget`, loads again at once."""

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


def test_closing_cancels_running_loads():
    """Closing cancels the waiters and leaves no task."""

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
