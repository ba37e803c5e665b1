"""A loader of versions, with a running engine and a tiny base."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from lorb_adapters.base.loader import load_base
from lorb_adapters.model import RescoringModel
from lorb_server.engine.adapter_cache import AdapterCache
from lorb_server.engine.batch_runner import BatchRunner
from lorb_server.engine.engine import Engine
from lorb_server.engine.loader import AdapterLoader, read_weights
from lorb_server.engine.scheduling.scheduler import Scheduler
from lorb_server.engine.workers.worker import WorkerParts
from lorb_server.telemetry.metrics import Metrics


def run(test, store, tiny_bert):
    """Runs `test(loader, adapter_cache, metrics)` with a running engine and the tiny base."""

    async def with_loader():
        metrics, model, threads = Metrics(), RescoringModel(load_base(str(tiny_bert))), ThreadPoolExecutor(2)
        scheduler = Scheduler(max_batch_tokens=1000, max_queue_tokens=1000, max_bulk_queue_tokens=1000)
        engine = Engine([WorkerParts(BatchRunner(model, metrics, 1000))], scheduler, metrics)
        engine.start()
        read, size_of = partial(read_weights, store, model.base), model.encoder.served_bytes
        adapter_cache = AdapterCache(read, threads, metrics.adapters, 2**30, size_of=size_of)
        try:
            await test(AdapterLoader(store, model, engine, adapter_cache, threads, metrics), adapter_cache, metrics)
        finally:
            await engine.close()
            threads.shutdown()

    asyncio.run(with_loader())
