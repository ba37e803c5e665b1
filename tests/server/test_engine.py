"""The model thread."""

import asyncio
import threading

import pytest

from lorb.errors import DeadlineExceeded, ModelFailed, Overloaded, Unavailable
from lorb_server.engine import Engine
from lorb_server.metrics import Metrics
from lorb_server.scheduler import Scheduler
from lorb_server.scoring import Job
from serving import WAIT_SECONDS, SimulatedClock, TellingModel, row, served_adapter, telling_score

A, B = served_adapter(1), served_adapter(2)
FOREVER = 1e12


def run(test, *, max_queue_tokens=1000, clock=None, max_batch_tokens=100):
    """Runs `test(engine, model, metrics)` on a loop of its own, and ends the engine."""

    async def with_engine():
        model, metrics = TellingModel(), Metrics()
        scheduler = Scheduler(
            max_batch_tokens=max_batch_tokens,
            max_queue_tokens=max_queue_tokens,
            max_bulk_queue_tokens=max_queue_tokens,
        )
        died = asyncio.Event()
        engine = Engine(model, scheduler, metrics, on_death=died.set, clock=clock or SimulatedClock())
        engine.died = died
        engine.start()
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await test(engine, model, metrics)
        finally:
            model.gate.set()
            await engine.close()

    asyncio.run(with_engine())


def job(*rows, adapter=A, answer_by=FOREVER, bulk=False):
    return Job(rows or (row(1, 2),), adapter, answer_by, bulk)


async def hold(engine, model):
    """Lets the model thread enter a pass and stay there; returns that pass' future."""
    model.gate.clear()
    model.entered.clear()
    held = engine.submit(job(row(9, 9)))
    await asyncio.to_thread(model.entered.wait, WAIT_SECONDS)
    return held


def test_lists_of_different_adapters_share_a_pass():
    """What waits while the model works goes in one pass, each list with its own adapter's scores."""

    async def test(engine, model, metrics):
        held = await hold(engine, model)
        first = engine.submit(job(row(1, 2), row(3, 4)))
        second = engine.submit(job(row(1, 2), adapter=B))
        model.gate.set()
        assert (await first).scores == tuple(telling_score(r, A.weights) for r in (row(1, 2), row(3, 4)))
        assert (await second).scores == (telling_score(row(1, 2), B.weights),)
        await held
        assert model.passes == [1, 3]
        assert metrics.registry.get_sample_value("lorb_batch_adapters_sum") == 3

    run(test)


def test_times_are_the_clocks():
    """Queue and pass times come from the engine's clock."""
    clock = SimulatedClock()

    async def test(engine, model, metrics):
        held = await hold(engine, model)
        waiting = engine.submit(job())
        clock.now += 2.5
        assert metrics.registry.get_sample_value("lorb_queue_oldest_age_seconds") == 2.5
        assert metrics.registry.get_sample_value("lorb_queue_tokens") == 2
        model.gate.set()
        assert (await held).infer_seconds == 2.5
        assert (await waiting).queue_seconds == 2.5

    run(test, clock=clock)


def test_a_pass_that_raises_fails_its_own_calls_alone():
    """Its calls get ModelFailed, and the thread goes on."""

    async def test(engine, model, metrics):
        model.trouble = RuntimeError("about the cat sat")
        with pytest.raises(ModelFailed) as caught:
            await engine.submit(job())
        assert "cat" not in str(caught.value)
        model.trouble = None
        assert len((await engine.submit(job())).scores) == 1
        assert engine.alive
        assert metrics.registry.get_sample_value("lorb_failed_passes_total") == 1

    run(test)


def test_every_waiting_call_fails_when_the_thread_dies():
    """The pass in hand, the queue and the errands fail at once, the death is told once, new calls are turned away."""

    async def test(engine, model, metrics):
        calls = [await hold(engine, model)]
        calls += [engine.submit(job(row(i, i), bulk=i % 2 == 0)) for i in range(20)]
        calls.append(engine.run_on_model_thread(lambda: None))
        model.trouble = SystemExit("killed")
        model.gate.set()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ModelFailed] * 22
        await engine.died.wait()
        assert not engine.alive
        with pytest.raises(Unavailable):
            engine.submit(job())
        with pytest.raises(Unavailable):
            engine.check_room(bulk=False)

    run(test)


def test_an_error_in_the_engine_itself_is_a_death():
    """A fault outside a pass ends the thread too, and nobody waits for it."""

    async def test(engine, model, metrics):
        held = await hold(engine, model)
        engine._scheduler.take = None
        waiting = engine.submit(job())
        model.gate.set()
        await held
        with pytest.raises(ModelFailed):
            await waiting
        await engine.died.wait()

    run(test)


def test_a_full_queue_refuses_at_once():
    """Beyond the bound a call is Overloaded, before and after tokenising."""

    async def test(engine, model, metrics):
        held = await hold(engine, model)
        waiting = [engine.submit(job()) for _ in range(5)]
        with pytest.raises(Overloaded):
            engine.submit(job())
        with pytest.raises(Overloaded):
            engine.check_room(bulk=False)
        engine.check_room(bulk=True)
        model.gate.set()
        await asyncio.gather(held, *waiting)

    run(test, max_queue_tokens=10)


def test_expired_lists_are_answered_without_work():
    """A list whose time is over when its turn comes raises DeadlineExceeded and is never scored."""
    clock = SimulatedClock()

    async def test(engine, model, metrics):
        held = await hold(engine, model)
        late = engine.submit(job(answer_by=clock.now + 1))
        fine = engine.submit(job(row(5, 6), answer_by=clock.now + 3))
        clock.now += 2
        model.gate.set()
        with pytest.raises(DeadlineExceeded):
            await late
        await fine
        await held
        assert model.passes == [1, 1]

    run(test, clock=clock)


def test_a_cancelled_call_leaves_the_queue():
    """Nobody waits, so nothing is scored; the others are."""

    async def test(engine, model, metrics):
        held = await hold(engine, model)
        gone, stays = engine.submit(job(row(7, 7))), engine.submit(job(row(8, 8)))
        gone.cancel()
        await asyncio.sleep(0)
        assert metrics.registry.get_sample_value("lorb_queue_tokens") == 2
        assert metrics.registry.get_sample_value("lorb_rescore_abandoned_total") == 1
        model.gate.set()
        await stays
        await held
        assert model.passes == [1, 1]

    run(test)


def test_a_call_cancelled_during_its_pass_harms_nobody():
    """The result is dropped; the thread goes on."""

    async def test(engine, model, metrics):
        held = await hold(engine, model)
        held.cancel()
        model.gate.set()
        assert (await engine.submit(job())).scores
        assert metrics.registry.get_sample_value("lorb_rescore_abandoned_total") == 0

    run(test)


def test_errands_run_on_the_model_thread():
    """Results and errors come back to who asked; an error is not a death."""

    async def test(engine, model, metrics):
        assert await engine.run_on_model_thread(lambda: threading.current_thread().name) == "model"
        with pytest.raises(ZeroDivisionError):
            await engine.run_on_model_thread(lambda: 1 // 0)
        assert engine.alive

    run(test)


def test_closing_fails_what_still_waits():
    """At the end no future is left pending, and no death is told."""

    async def test(engine, model, metrics):
        held = await hold(engine, model)
        waiting = engine.submit(job())
        closing = asyncio.create_task(engine.close())
        await asyncio.sleep(0)
        model.gate.set()
        await closing
        await held
        with pytest.raises(ModelFailed):
            await waiting
        assert not engine.died.is_set()

    run(test)
