"""Builds what the process that holds the model runs: engine, adapter cache, registry and score cache."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from lorb_adapters.base.loader import Base
from lorb_adapters.model import RescoringModel
from lorb_adapters.threads import prepare_model_thread, use_threads
from lorb_server.adapter import AdapterHandle
from lorb_server.config import ServeConfig
from lorb_server.engine.adapter_cache import AdapterCache
from lorb_server.engine.batch_runner import BatchRunner
from lorb_server.engine.cuda_graphs import CudaGraphs
from lorb_server.engine.device import (
    Placement,
    budget_setting,
)
from lorb_server.engine.engine import Engine
from lorb_server.engine.loader import AdapterLoader, base_adapter, read_weights
from lorb_server.engine.scheduling.scheduler import Scheduler
from lorb_server.engine.score_cache import ScoreCache
from lorb_server.engine.scorer import Scorer
from lorb_server.engine.warm_up import check_budget, health_check, warm_up
from lorb_server.engine.workers.worker import WorkerParts
from lorb_server.parts import ServerParts, trusted_keys
from lorb_server.registry.registry import Registry
from lorb_server.telemetry.metrics import Metrics
from lorb_server.thread_pool import StoreThreads

Result = TypeVar("Result")

STORE_THREADS = 4  # for reading the store and for operators' requests
LOADING_THREADS = 2  # for reading and hashing adapters
# The warm-up runs the largest passes several times, which takes a minute on a slow CPU, and records CUDA graphs, which
# takes another.
WARM_UP_LIMIT_SECONDS = 600.0


class ModelRuntime:
    """The parts of the one process that holds the model. Belongs to the event loop.

    Attributes:
        engine: the workers and their queue.
        adapter_cache: the adapters' weights on the device.
        registry: the adapter versions that serve.
        scorer: scores lists.
        store_threads: read and write the store.
    """

    def __init__(
        self,
        config: ServeConfig,
        parts: ServerParts,
        metrics: Metrics,
        *,
        on_death: Callable[[], None],
    ) -> None:
        """`on_death` is called if a worker dies or is stuck.

        Raises InvalidInput if a setting does not fit the base.
        """
        base, placement, store = parts.base, parts.placement, parts.store
        self._models = [parts.model] + [parts.model.for_another_thread() for _ in range(1, parts.split.workers)]
        check_budget(parts.model, placement.max_batch_tokens, budget_setting(config, placement))
        self._max_batch_tokens = placement.max_batch_tokens
        self._graphs = CudaGraphs(parts.model, metrics) if placement.cuda_graphs else None
        self._scheduler = _scheduler(config, placement, len(self._models))
        workers = [
            WorkerParts(
                BatchRunner(model, metrics, placement.max_batch_tokens),
                partial(prepare_model_thread, parts.split.threads_per_worker),
                partial(health_check, model),
            )
            for model in self._models
        ]
        self.engine = Engine(workers, self._scheduler, metrics, on_death=on_death)
        metrics.model.workers.set(len(workers))
        metrics.model.watch_scratch_bytes(lambda: sum(model.scratch_bytes for model in self._models))
        timeout_seconds = config.store_timeout_seconds
        self.store_threads = StoreThreads(timeout_seconds, STORE_THREADS, "store")
        self._threads = StoreThreads(timeout_seconds, LOADING_THREADS, "loading", partial(use_threads, 1))
        trusted = trusted_keys(config)
        self.adapter_cache = AdapterCache(
            partial(read_weights, store, base, trusted=trusted),
            self._threads,
            metrics.adapters,
            config.max_adapter_bytes,
            size_of=parts.model.encoder.served_bytes,
        )
        loader = AdapterLoader(store, parts.model, self.engine, self.adapter_cache, self._threads, metrics, trusted)
        self.registry = Registry(
            store,
            loader.load,
            self.adapter_cache,
            metrics,
            preload=config.preload,
            default_domain=config.default_domain,
            allow_pinned_versions=config.allow_pinned_versions,
            base_adapter=_add_base_adapter(base, self.adapter_cache),
            threads=self.store_threads,
        )
        score_cache = ScoreCache(config.score_cache_bytes, is_shared=config.shared_score_cache)
        self.scorer = Scorer(self.engine, self.adapter_cache, score_cache, metrics)

    async def warm_up(self) -> None:
        """Records CUDA graphs if they are on, and trains the scheduler's predictions. Raises what the model raises."""
        if self._graphs is not None:
            record = partial(self._graphs.record, self._max_batch_tokens)
            await self.engine.run_on_worker(record, limit_seconds=WARM_UP_LIMIT_SECONDS, worker=0)
        measured = await self._on_each_worker(lambda model: warm_up(model, self._max_batch_tokens))
        for tokens, seconds in sorted(each for of_worker in measured for each in of_worker):
            self._scheduler.forecast.cost.observe(tokens, seconds)

    async def _on_each_worker(self, function: Callable[[RescoringModel], Result]) -> list[Result]:
        """Calls a function with each worker's model, on that worker; all at the same time."""
        return await asyncio.gather(
            *(
                self.engine.run_on_worker(partial(function, model), limit_seconds=WARM_UP_LIMIT_SECONDS, worker=number)
                for number, model in enumerate(self._models)
            )
        )

    async def close(self, *, timeout_seconds: float) -> None:
        """Cancels adapter loads, then ends the workers; waiting calls fail.

        Waits at most `timeout_seconds` for the workers, whose batches may never end.
        """
        await self.registry.close()
        await self.adapter_cache.close()
        await self.engine.close(timeout_seconds=timeout_seconds)
        self.store_threads.shutdown()
        self._threads.shutdown()


def _scheduler(config: ServeConfig, placement: Placement, num_workers: int) -> Scheduler:
    return Scheduler(
        max_batch_tokens=placement.max_batch_tokens,
        max_queue_tokens=config.max_queue_tokens,
        max_bulk_queue_tokens=config.max_bulk_queue_tokens,
        max_pass_seconds=config.max_pass_seconds,
        max_queue_seconds=config.max_queue_seconds,
        num_workers=num_workers,
    )


def _add_base_adapter(base: Base, adapter_cache: AdapterCache) -> AdapterHandle | None:
    """Adds the adapter of the reserved domain `base` to the cache; returns it, or None if the base has no head."""
    loaded = base_adapter(base)
    if loaded is None:
        return None
    adapter, weights = loaded
    adapter_cache.put_permanent(adapter, weights)
    return adapter
