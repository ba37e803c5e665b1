"""An engine with its model thread and a stub model, and lists to submit to it."""

import asyncio

from lorb_server.call import Call, Priority
from lorb_server.engine.batch_runner import BatchRunner
from lorb_server.engine.engine import Engine
from lorb_server.engine.scheduling.deadline_queue import Entry
from lorb_server.engine.scheduling.scheduler import Scheduler
from lorb_server.engine.workers.worker import WorkerParts
from lorb_server.telemetry.metrics import Metrics
from support.servers.serving import WAIT_SECONDS, SimulatedClock
from support.servers.stub_model import StubModel, adapter_handle, adapter_weights, row

A, B = adapter_weights(1), adapter_weights(2)


def call(*, number=1, answer_by=1e12, priority=Priority.INTERACTIVE, domain="voice"):
    """A call under the adapter of this number."""
    return Call(adapter=adapter_handle(number, domain), answer_by=answer_by, priority=priority)


def entry(*rows, number=1, minimum_hypotheses=None, **fields):
    """A list under the adapter of this number; it may be cut if `minimum_hypotheses` is smaller than its length."""
    rows = rows or (row(1, 2),)
    return Entry(call(number=number, **fields), rows, minimum_hypotheses or len(rows), adapter_weights(number))


def run(test, *, max_queue_tokens=1000, clock=None, max_batch_tokens=100, health_check=None, workers=1):
    """Runs `test(engine, model, metrics)` on an event loop of its own, and closes the engine."""

    async def with_engine():
        model, metrics = StubModel(), Metrics()
        scheduler = Scheduler(
            max_batch_tokens=max_batch_tokens,
            max_queue_tokens=max_queue_tokens,
            max_bulk_queue_tokens=max_queue_tokens,
            num_workers=workers,
        )
        died = asyncio.Event()
        parts = WorkerParts(
            BatchRunner(model, metrics, max_batch_tokens),
            health_check=health_check or (lambda: model.score([row(1)], [A], [0])),
        )
        engine = Engine([parts] * workers, scheduler, metrics, on_death=died.set, clock=clock or SimulatedClock())
        engine.died = died
        engine.start()
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await test(engine, model, metrics)
        finally:
            model.gate.set()
            await engine.close()

    asyncio.run(with_engine())


async def hold(engine, model):
    """Makes a worker enter a pass and stay there; returns the future of the list in it."""
    model.gate.clear()
    model.entered.clear()
    held = engine.submit(entry(row(9, 9)))
    await asyncio.to_thread(model.entered.wait, WAIT_SECONDS)
    return held
