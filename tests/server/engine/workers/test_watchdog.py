"""lorb_server.engine.workers.watchdog: a pass that never ends, and clocks that only seem to say so."""

import asyncio
import logging
import threading

import pytest

from lorb.errors import ModelFailed, Unavailable
from lorb_server.engine.workers.watchdog import MAX_TICK_SECONDS, TICK_SECONDS, Watchdog, pass_limit_seconds
from support.engine.running_engine import entry, hold, run
from support.engine.simulated_loop import SimulatedLoop
from support.servers.serving import SimulatedClock
from support.servers.stub_model import row


def tick_for(watchdog, clock, seconds):
    """Ticks as often as in `seconds` of a healthy process; returns after how many the work was over its limit."""
    for passed in range(1, int(seconds / TICK_SECONDS) + 1):
        clock.now += TICK_SECONDS
        if watchdog.tick():
            return passed * TICK_SECONDS
    return None


async def until_dead(engine, clock):
    """Advances the clock tick by tick until the engine has given up; fails after 1,000 ticks."""
    for _ in range(1000):
        if not engine.is_alive:
            return
        clock.now += TICK_SECONDS
        if engine._workers[0].watchdog.tick():
            engine._give_up()
    pytest.fail("the engine never gave up")


def test_a_stuck_pass_fails_every_call_and_ends_the_engine():
    """A pass that never ends fails the lists in it and in the queue, and reports the engine's death exactly once."""
    clock = SimulatedClock()

    async def test(engine, model, metrics):
        model.on_pass = lambda rows: setattr(clock, "now", clock.now + 0.01)
        await engine.submit(entry())
        held = await hold(engine, model)
        waiting = engine.submit(entry(row(5, 6)))
        task = engine.run_on_worker(lambda: None)
        before = clock.now
        await until_dead(engine, clock)
        for future in (held, waiting, task):
            with pytest.raises(ModelFailed, match="stuck"):
                await future
        with pytest.raises(Unavailable):
            engine.submit(entry())
        await engine.died.wait()
        engine.died.clear()
        assert 10 < clock.now - before < 13
        assert metrics.registry.get_sample_value("lorb_model_stuck_total") == 1
        model.gate.set()  # the pass ends after all
        await asyncio.to_thread(engine._workers[0].thread.join)
        assert not engine.died.is_set()

    run(test, clock=clock)


def test_a_stuck_task_ends_the_engine_too():
    """A task that outlasts its own limit ends the engine; a task within its limit of an hour does not."""
    clock = SimulatedClock()

    async def test(engine, model, metrics):
        def score_until_released():
            return model.score([row(1)], [entry().weights], [0])

        model.gate.clear()
        model.entered.clear()
        task = engine.run_on_worker(score_until_released, limit_seconds=3600)
        await asyncio.to_thread(model.entered.wait)
        assert tick_for(engine._workers[0].watchdog, clock, 3500) is None
        assert engine.is_alive
        await until_dead(engine, clock)
        with pytest.raises(ModelFailed, match="stuck"):
            await task

    run(test, clock=clock)


def test_the_metrics_see_a_stuck_pass():
    """While a pass hangs, the age of its list and of the pass grow, although the waiting lists left the queue."""
    clock = SimulatedClock()

    async def test(engine, model, metrics):
        held = await hold(engine, model)
        waiting = engine.submit(entry(row(5, 6)))
        waiting.cancel()  # its deadline has passed
        held.cancel()
        await asyncio.sleep(0)
        clock.now += 45
        value = metrics.registry.get_sample_value
        assert value("lorb_queue_oldest_age_seconds", {"lane": "single"}) == 45
        assert value("lorb_model_busy_seconds") == 45
        model.gate.set()
        await engine.submit(entry())
        await engine.run_on_worker(lambda: None)
        assert value("lorb_queue_oldest_age_seconds", {"lane": "single"}) == 0

    run(test, clock=clock)


@pytest.mark.parametrize(("predicted", "limit"), [(0.0, 120.0), (0.05, 10.0), (0.5, 10.0), (3.0, 60.0)])
def test_the_limit_follows_the_prediction(predicted, limit):
    """The limit is 20 times the prediction but at least 10 s, and 120 s before any pass was measured."""
    assert pass_limit_seconds(predicted) == limit


def test_work_is_stuck_only_after_its_limit():
    """Work of a limit of 10 s is over it after 10 s of ticks; other work that begins in time is not."""
    clock = SimulatedClock()
    watchdog = Watchdog(clock)
    watchdog.begin("pass", 10.0)
    assert tick_for(watchdog, clock, 9.0) is None
    watchdog.begin("pass", 10.0)
    assert tick_for(watchdog, clock, 9.0) is None
    assert tick_for(watchdog, clock, 9.0) == pytest.approx(2.0)
    watchdog.rest()
    assert tick_for(watchdog, clock, 100.0) is None


def test_a_suspended_process_is_not_stuck():
    """If process or clock jump by an hour, the jump counts as one tick: a pass that was running goes on."""
    clock = SimulatedClock()
    watchdog = Watchdog(clock)
    watchdog.begin("pass", 10.0)
    watchdog.tick()
    for _ in range(int(10.0 / MAX_TICK_SECONDS)):
        clock.now += 3600
        assert not watchdog.tick()


def test_a_running_watchdog_says_where_the_thread_is(caplog):
    """Once the work is over its limit, the log names the work and the thread's stack, and `on_stuck` is called once."""
    calls = []

    async def watch():
        loop = asyncio.get_running_loop()
        watchdog = Watchdog(loop.time)
        watchdog.begin("pass", 10.0)
        started = loop.time()
        await watchdog.run(threading.current_thread(), lambda: calls.append(loop.time() - started))

    with caplog.at_level(logging.ERROR), asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(watch())
    assert calls == [pytest.approx(10.0, abs=2 * TICK_SECONDS)]
    [record] = caplog.records
    assert record.fields["work"] == "pass"
    assert any("test_watchdog.py" in frame for frame in record.fields["stack"])
