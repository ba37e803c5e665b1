"""lorb_server.engine.workers.worker: workers side by side, lists that they share, and the end of one of them."""

import asyncio
import threading

import pytest

from lorb.errors import ModelFailed, Unavailable
from support.engine.running_engine import A, entry, hold, run
from support.servers.serving import WAIT_SECONDS
from support.servers.stub_model import row, stub_score

ROWS = [row(i, i + 1, i + 2) for i in range(1, 11)]


def meeting(model, number):
    """Makes each pass wait until `number` passes run at once."""
    barrier = threading.Barrier(number)
    model.on_pass = lambda rows: barrier.wait(WAIT_SECONDS)


def test_idle_workers_share_a_lone_list():
    """A list that finds all workers idle is scored by all of them at once, and its scores keep their order."""

    async def test(engine, model, metrics):
        await asyncio.gather(*(engine.run_on_worker(lambda: None, worker=number) for number in range(3)))
        await until_idle(engine, 3)
        meeting(model, 3)
        scored = await engine.submit(entry(*ROWS))
        assert sorted(model.passes) == [3, 3, 4]
        assert scored.scores == tuple(stub_score(each, A) for each in ROWS)

    run(test, workers=3)


def test_busy_workers_take_whole_lists():
    """While another worker is busy, a list is scored by one worker, in one pass."""

    async def test(engine, model, metrics):
        release = threading.Event()
        held = engine.run_on_worker(lambda: release.wait(WAIT_SECONDS))
        await until_idle(engine, 1)
        scored = await engine.submit(entry(*ROWS))
        release.set()
        await held
        assert model.passes == [10]
        assert scored.scores == tuple(stub_score(each, A) for each in ROWS)

    run(test, workers=2)


def test_a_share_that_no_other_worker_takes_is_scored_by_the_first():
    """A worker that was idle but does other work when the share arrives does not delay the list."""

    async def test(engine, model, metrics):
        await until_idle(engine, 2)
        release = threading.Event()
        queue = engine._queue
        share_out = queue.share_out

        def share_late(shares):
            engine._loop.call_soon_threadsafe(engine.run_on_worker, lambda: release.wait(WAIT_SECONDS))
            while queue._num_idle:  # until the other worker runs the function
                release.wait(0.001)
            share_out(shares)

        queue.share_out = share_late
        scored = await engine.submit(entry(*ROWS))
        release.set()
        assert model.passes == [5, 5]
        assert scored.scores == tuple(stub_score(each, A) for each in ROWS)

    run(test, workers=2)


def test_a_share_that_fails_fails_no_other_list():
    """If the model raises on one share, every list of the batch is scored again, and only the faulty list fails."""

    async def test(engine, model, metrics):
        held = await hold_all(engine, 2)
        model.poison = row(9, 9)
        good = [engine.submit(entry(each)) for each in ROWS[:5]]
        bad = engine.submit(entry(model.poison))
        held.set()
        outcomes = await asyncio.gather(*good, bad, return_exceptions=True)
        assert [outcome.scores for outcome in outcomes[:5]] == [(stub_score(each, A),) for each in ROWS[:5]]
        assert isinstance(outcomes[5], ModelFailed)
        assert engine.is_alive

    run(test, workers=2)


def test_one_dead_worker_ends_the_engine():
    """When one worker dies, the lists of all workers and of the queue fail at once, and the death is told once."""

    async def test(engine, model, metrics):
        release = threading.Event()
        task = engine.run_on_worker(lambda: release.wait(WAIT_SECONDS))
        await until_idle(engine, 1)
        held = await hold(engine, model)
        waiting = engine.submit(entry())
        model.trouble = SystemExit("killed")
        model.gate.set()
        for future in (held, waiting, task):
            with pytest.raises(ModelFailed):
                await future
        await engine.died.wait()
        engine.died.clear()
        assert not engine.is_alive
        with pytest.raises(Unavailable):
            engine.submit(entry())
        release.set()  # the other worker ends after all
        for worker in engine._workers:
            await asyncio.to_thread(worker.thread.join)
        assert not engine.died.is_set()

    run(test, workers=2)


def test_closing_waits_for_the_passes_of_all_workers():
    """Closing lets running passes end, although one worker ends before the other, and reports no death."""

    async def test(engine, model, metrics):
        held = await hold(engine, model)
        closing = asyncio.create_task(engine.close())
        while sum(worker.thread.is_alive() for worker in engine._workers) == 2:
            await asyncio.sleep(0.001)
        model.gate.set()
        await closing
        assert (await held).scores
        assert not engine.died.is_set()

    run(test, workers=2)


async def until_idle(engine, number):
    """Returns when this many workers wait for work."""
    async with asyncio.timeout(WAIT_SECONDS):
        while engine._queue._num_idle < number:
            await asyncio.sleep(0.001)


async def hold_all(engine, number):
    """Makes all workers wait for the event that is returned."""
    release, entered = threading.Event(), threading.Barrier(number + 1)

    def wait():
        entered.wait(WAIT_SECONDS)
        release.wait(WAIT_SECONDS)

    for worker in range(number):
        engine.run_on_worker(wait, worker=worker)
    await asyncio.to_thread(entered.wait, WAIT_SECONDS)
    return release
