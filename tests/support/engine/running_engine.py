"""An engine with its model thread, for one test, on a model whose scores tell the text."""

import asyncio

from lorb_server.engine.batch_runner import BatchRunner
from lorb_server.engine.engine import Engine
from lorb_server.engine.scheduler import Scheduler
from lorb_server.telemetry.metrics import Metrics
from support.servers.serving import WAIT_SECONDS, SimulatedClock, TellingModel, adapter_weights, request, row

A, B = adapter_weights(1), adapter_weights(2)


def run(test, *, max_queue_tokens=1000, clock=None, max_batch_tokens=100, probe=None):
    """Runs `test(engine, model, metrics)` on a loop of its own, and ends the engine."""

    async def with_engine():
        model, metrics = TellingModel(), Metrics()
        scheduler = Scheduler(
            max_batch_tokens=max_batch_tokens,
            max_queue_tokens=max_queue_tokens,
            max_bulk_queue_tokens=max_queue_tokens,
        )
        died = asyncio.Event()
        engine = Engine(
            BatchRunner(model, metrics, max_batch_tokens),
            scheduler,
            metrics,
            probe=probe or (lambda: model.score([row(1)], [A], [0])),
            on_death=died.set,
            clock=clock or SimulatedClock(),
        )
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
    """Lets the model thread enter a pass and stay there; returns that pass' future."""
    model.gate.clear()
    model.entered.clear()
    held = engine.submit(request(row(9, 9)))
    await asyncio.to_thread(model.entered.wait, WAIT_SECONDS)
    return held
