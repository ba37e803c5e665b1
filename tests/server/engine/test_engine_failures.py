"""lorb_server.engine.engine: passes that raise, lack of memory, and the end of the workers."""

import asyncio
import threading

import pytest

from lorb.errors import ModelFailed, Unavailable
from lorb_server.call import Priority
from support.engine.running_engine import A, call, entry, hold, run
from support.servers.stub_model import adapter_weights, row, stub_score


def test_a_list_that_the_model_raises_for_fails_alone():
    """A list that makes the model raise gets ModelFailed without its text; the others of its batch are scored."""

    async def test(engine, model, metrics):
        held = await hold(engine, model)
        model.poison = row(6, 6, 6)
        calls = [engine.submit(entry(row(i, i), number=1 + i % 2)) for i in range(1, 8)]
        poisoned = engine.submit(entry(row(1, 2), row(6, 6, 6)))
        model.gate.set()
        with pytest.raises(ModelFailed) as caught:
            await poisoned
        assert "6" not in str(caught.value)
        for i, future in enumerate(calls, start=1):
            assert (await future).scores == (stub_score(row(i, i), adapter_weights(1 + i % 2)),)
        await held
        assert engine.is_alive
        assert metrics.registry.get_sample_value("lorb_failed_passes_total") >= 1

    run(test)


def test_a_failed_health_check_ends_the_thread():
    """If the health check raises after a failed list, the thread ends and the death is reported."""

    async def test(engine, model, metrics):
        model.trouble = RuntimeError("device lost")
        with pytest.raises(ModelFailed):
            await engine.submit(entry())
        await engine.died.wait()
        assert not engine.is_alive

    run(test)


def test_a_batch_out_of_memory_is_scored_in_halves():
    """A pass that runs out of memory is scored in halves, and later batches are smaller."""

    async def test(engine, model, metrics):
        held = await hold(engine, model)
        model.max_rows = 3
        calls = [engine.submit(entry(row(i, 1), row(i, 2))) for i in range(8)]
        model.gate.set()
        for i, future in enumerate(calls):
            assert (await future).scores == tuple(stub_score(row(i, j), A) for j in (1, 2))
        await held
        assert max(model.passes) <= 3
        assert metrics.registry.get_sample_value("lorb_out_of_memory_passes_total") > 0
        assert engine.is_alive

    run(test, max_batch_tokens=1000)


def test_every_waiting_call_fails_when_the_thread_dies():
    """When the thread dies, running, queued and new work fails, and the death is reported once."""

    async def test(engine, model, metrics):
        calls = [await hold(engine, model)]
        calls += [
            engine.submit(entry(row(i, i), priority=Priority.BATCH if i % 2 else Priority.INTERACTIVE))
            for i in range(20)
        ]
        calls.append(engine.run_on_worker(lambda: None))
        model.trouble = SystemExit("killed")
        model.gate.set()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ModelFailed] * 22
        await engine.died.wait()
        assert not engine.is_alive
        with pytest.raises(Unavailable):
            engine.submit(entry())
        with pytest.raises(Unavailable):
            engine.check_admission(call(), 1)

    run(test)


def test_an_error_outside_a_pass_ends_the_thread():
    """An error outside a pass ends the thread too, and waiting lists fail."""

    async def test(engine, model, metrics):
        held = await hold(engine, model)
        engine._queue._scheduler.take = None
        waiting = engine.submit(entry())
        model.gate.set()
        await held
        with pytest.raises(ModelFailed):
            await waiting
        await engine.died.wait()

    run(test)


class SlowDevice(threading.Event):
    """A device that is still busy whenever the engine looks, and finishes a batch when the engine waits for it."""

    def is_set(self):
        return False


def test_closing_fails_waiting_lists_while_a_device_is_busy():
    """On a device that computes in the background, closing scores the launched batches and fails the other lists."""

    async def test(engine, model, metrics):
        model.device = SlowDevice()
        all_waiting = threading.Event()
        engine.run_on_worker(all_waiting.wait)
        lists = [engine.submit(entry(*[row(i, i)] * 25)) for i in range(1, 7)]
        all_waiting.set()
        while len(model.launches) < 2:
            await asyncio.sleep(0.001)
        closing = asyncio.create_task(engine.close())
        await asyncio.sleep(0)
        model.device.set()
        await closing
        outcomes = await asyncio.gather(*lists, return_exceptions=True)
        failed = [isinstance(outcome, ModelFailed) for outcome in outcomes]
        assert failed == [False, False, False, False, True, True]  # two lists fit in a batch

    run(test)


def test_closing_fails_waiting_lists():
    """Closing fails the lists that still wait, and reports no death."""

    async def test(engine, model, metrics):
        held = await hold(engine, model)
        waiting = engine.submit(entry())
        closing = asyncio.create_task(engine.close())
        await asyncio.sleep(0)
        model.gate.set()
        await closing
        await held
        with pytest.raises(ModelFailed):
            await waiting
        assert not engine.died.is_set()

    run(test)
