"""lorb_server.engine.engine: lists on workers, their deadlines and their order."""

import asyncio
import threading

import pytest

from lorb.errors import DeadlineExceeded, Overloaded
from lorb_server.call import Priority
from support.engine.running_engine import A, B, call, entry, hold, run
from support.servers.serving import WAIT_SECONDS, SimulatedClock
from support.servers.stub_model import row, stub_score


def test_lists_of_different_adapters_share_a_pass():
    """Lists that wait for the model share a pass, and each gets its own adapter's scores."""

    async def test(engine, model, metrics):
        held = await hold(engine, model)
        first = engine.submit(entry(row(1, 2), row(3, 4)))
        second = engine.submit(entry(row(1, 2), number=2))
        model.gate.set()
        assert (await first).scores == tuple(stub_score(r, A) for r in (row(1, 2), row(3, 4)))
        assert (await second).scores == (stub_score(row(1, 2), B),)
        await held
        assert model.passes == [1, 3]
        assert metrics.registry.get_sample_value("lorb_batch_adapters_sum") == 3

    run(test)


def test_queue_and_pass_times_come_from_the_clock():
    """Queue and pass times come from the engine's clock."""
    clock = SimulatedClock()

    async def test(engine, model, metrics):
        held = await hold(engine, model)
        waiting = engine.submit(entry())
        clock.now += 2.5
        assert metrics.registry.get_sample_value("lorb_queue_oldest_age_seconds", {"lane": "single"}) == 2.5
        assert metrics.registry.get_sample_value("lorb_queue_tokens") == 2
        model.gate.set()
        assert (await held).infer_seconds == 2.5
        assert (await waiting).queue_seconds == 2.5

    run(test, clock=clock)


def test_a_tight_deadline_cuts_a_list_to_its_first_hypotheses():
    """With 3 s left and 1 s for each hypothesis, the first three are scored; a list that may not be cut is refused."""
    clock = SimulatedClock()

    async def test(engine, model, metrics):
        for _ in range(3):
            model.on_pass = lambda rows: setattr(clock, "now", clock.now + sum(r.num_tokens for r in rows) / 10)
            await engine.submit(entry(row(*range(10))))
        rows = [row(*range(i, i + 10)) for i in range(5)]
        scored = await engine.submit(entry(*rows, minimum_hypotheses=2, answer_by=clock.now + 3.01))
        assert scored.scores == tuple(stub_score(each, A) for each in rows[:3])
        with pytest.raises(DeadlineExceeded):
            engine.submit(entry(*rows, answer_by=clock.now + 3.01))

    run(test, clock=clock)


def test_equal_rows_do_not_distort_the_cost_model():
    """For a pass of equal lists, the cost model learns from the tokens that the model read, not those of the lists."""
    clock = SimulatedClock()

    async def test(engine, model, metrics):
        def read(rows):
            clock.now += sum(0.001 * each.num_tokens for each in rows)

        model.on_pass = read
        long = [row(i, *range(99)) for i in range(5)]
        for _ in range(5):
            await engine.submit(entry(*long))
        predicted = engine._queue._scheduler.forecast.cost.seconds(500)
        held = await hold(engine, model)
        equal = [engine.submit(entry(long[0])) for _ in range(5)]
        model.gate.set()
        await asyncio.gather(held, *equal)
        assert model.passes == [5] * 5 + [1, 1]
        assert engine._queue._scheduler.forecast.cost.seconds(500) == pytest.approx(predicted)

    run(test, clock=clock, max_batch_tokens=1000)


def test_a_full_queue_refuses_at_once():
    """Beyond the queue's bound a list is Overloaded, before and after tokenisation."""

    async def test(engine, model, metrics):
        held = await hold(engine, model)
        waiting = [engine.submit(entry()) for _ in range(4)]  # five fit, but a third of the room is for other domains
        with pytest.raises(Overloaded):
            engine.submit(entry())
        with pytest.raises(Overloaded):
            engine.check_admission(call(), 1)
        engine.check_admission(call(priority=Priority.BATCH), 1)
        model.gate.set()
        await asyncio.gather(held, *waiting)

    run(test, max_queue_tokens=10)


def test_expired_lists_are_not_scored():
    """A list that is overdue at its turn raises DeadlineExceeded and is not scored."""
    clock = SimulatedClock()

    async def test(engine, model, metrics):
        held = await hold(engine, model)
        late = engine.submit(entry(answer_by=clock.now + 1))
        fine = engine.submit(entry(row(5, 6), answer_by=clock.now + 5))
        clock.now += 2
        model.gate.set()
        with pytest.raises(DeadlineExceeded):
            await late
        await fine
        await held
        assert model.passes == [1, 1]

    run(test, clock=clock)


def test_a_cancelled_call_leaves_the_queue():
    """A cancelled list leaves the queue, is counted, and is not scored; the others are."""

    async def test(engine, model, metrics):
        held = await hold(engine, model)
        gone, stays = engine.submit(entry(row(7, 7))), engine.submit(entry(row(8, 8)))
        gone.cancel()
        await asyncio.sleep(0)
        assert metrics.registry.get_sample_value("lorb_queue_tokens") == 2
        assert metrics.registry.get_sample_value("lorb_rescore_abandoned_total") == 1
        model.gate.set()
        await stays
        await held
        assert model.passes == [1, 1]

    run(test)


def test_a_list_cancelled_during_its_pass_is_dropped():
    """Cancelling a list during its pass drops its result and does not disturb the thread."""

    async def test(engine, model, metrics):
        held = await hold(engine, model)
        held.cancel()
        model.gate.set()
        assert (await engine.submit(entry())).scores
        assert metrics.registry.get_sample_value("lorb_rescore_abandoned_total") == 0

    run(test)


def test_the_next_batch_is_launched_while_the_device_computes_one():
    """The next batch is launched while the device computes one, and each list gets its own scores."""

    async def test(engine, model, metrics):
        model.device, release = threading.Event(), threading.Event()
        busy = engine.run_on_worker(lambda: release.wait(WAIT_SECONDS))
        lists = [(row(1, 1), row(1, 2)), (row(2, 2), row(2, 3)), (row(3, 3),)]
        calls = [engine.submit(entry(*rows)) for rows in lists]
        release.set()
        await busy
        while len(model.launches) < 2:
            await asyncio.sleep(0.001)
        assert not calls[0].done()
        model.device.set()
        for waiting, rows in zip(calls, lists, strict=True):
            assert (await waiting).scores == tuple(stub_score(each, A) for each in rows)
        assert model.launches == [2, 2, 1]

    run(test, max_batch_tokens=4)


def test_functions_run_on_a_worker():
    """Functions run on the worker that is asked for; results and errors reach the caller, and the worker goes on."""

    async def test(engine, model, metrics):
        for number in (1, 0):
            name = await engine.run_on_worker(lambda: threading.current_thread().name, worker=number)
            assert name == f"model-{number}"
        with pytest.raises(ZeroDivisionError):
            await engine.run_on_worker(lambda: 1 // 0)
        assert engine.is_alive

    run(test, workers=2)
