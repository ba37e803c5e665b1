"""Builds the parts of the process that holds the model: base, engine, adapter cache, registry and score cache."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from lorb.errors import InvalidInput, StoreUnavailable
from lorb_adapters.base.loader import Base, load_base
from lorb_adapters.model import RescoringModel
from lorb_adapters.process_memory import keep_freed_pages
from lorb_adapters.store.choose_base import choose_base
from lorb_adapters.store.signing import TrustedKeys
from lorb_adapters.store.store import Store
from lorb_server.adapter import AdapterHandle, BaseInfo
from lorb_server.config import ServeConfig
from lorb_server.engine.adapter_cache import AdapterCache
from lorb_server.engine.batch_runner import BatchRunner
from lorb_server.engine.cuda_graphs import CudaGraphs
from lorb_server.engine.device import (
    Placement,
    budget_setting,
    choose_placement,
    prepare_model_thread,
    use_threads,
)
from lorb_server.engine.engine import Engine
from lorb_server.engine.loader import AdapterLoader, base_adapter, read_weights
from lorb_server.engine.scheduling.scheduler import Scheduler
from lorb_server.engine.score_cache import ScoreCache
from lorb_server.engine.scorer import Scorer
from lorb_server.engine.warm_up import check_budget, health_check, warm_up
from lorb_server.registry.registry import Registry
from lorb_server.setting import flag
from lorb_server.telemetry.metrics import Metrics
from lorb_server.thread_pool import StoreThreads

Result = TypeVar("Result")

STORE_THREADS = 4  # for reading the store and for operators' requests
LOADING_THREADS = 2  # for reading and hashing adapters
# The warm-up runs the largest passes several times, which takes a minute on a slow CPU, and records CUDA graphs, which
# takes another.
WARM_UP_LIMIT_SECONDS = 600.0
_BASE_CHOICE_TIMEOUTS = 10  # choosing a base reads up to 100 domains


@dataclass(frozen=True, slots=True)
class ServerParts:
    """The parts that are loaded before the server is built.

    Attributes:
        base: the base model, on its device.
        placement: how the model runs on this machine.
        store: the adapter store.
    """

    base: Base
    placement: Placement
    store: Store


def load_parts(config: ServeConfig) -> ServerParts:
    """Opens the store and loads the base.

    Raises LorbError if either fails. The error is StoreUnavailable if the store does not answer in time.
    """
    keep_freed_pages()
    placement = choose_placement(config)
    use_threads(1)  # for the calling thread, which does not run the model
    trusted, timeout_seconds = trusted_keys(config), config.store_timeout_seconds
    store = _in_time(timeout_seconds, partial(_open_store, config.store, timeout_seconds))
    base = _in_time(_BASE_CHOICE_TIMEOUTS * timeout_seconds, partial(choose_base, config.base, store, trusted))
    return ServerParts(load_base(base, device=placement.device, dtype=placement.dtype), placement, store)


def trusted_keys(config: ServeConfig) -> TrustedKeys | None:
    """The public keys in the file that --trusted-keys names: one of them must have signed each version that is loaded.

    Returns None if no file is named: then no signature is required.

    Raises InvalidInput, naming the flag and the file, if the key file is not usable.
    """
    if not config.trusted_keys:
        return None
    try:
        return TrustedKeys(Path(config.trusted_keys))
    except InvalidInput as error:
        raise InvalidInput(f"{flag('trusted_keys')} {error.message}", field="trusted_keys") from error


def base_info(base: Base) -> BaseInfo:
    """The identity of a loaded base."""
    return BaseInfo(base.name, base.fingerprint, str(base.device), str(base.dtype).removeprefix("torch."))


def _in_time(timeout_seconds: float, function: Callable[[], Result]) -> Result:
    """Returns what `function` returns. Raises StoreUnavailable if the store keeps it longer than `timeout_seconds`."""
    threads = StoreThreads(timeout_seconds, 1, "opening")
    try:
        return threads.submit(function).result()
    finally:
        threads.shutdown()


def _open_store(url: str, timeout_seconds: float) -> Store:
    """Opens the store and reads its index. An empty folder is accepted; if it is in a folder, another process reads it.

    Raises StoreUnavailable if the folder is missing, because its path is probably mistyped, or if the index cannot be
    read.
    """
    path = url if "://" in url else str(Path(url).expanduser().absolute())  # callers get no absolute paths
    store = Store(path, read_timeout_seconds=timeout_seconds)
    try:
        store.generation()
    except StoreUnavailable as error:
        raise StoreUnavailable(f"--store {url}: {error.message}", field="store") from error
    return store


class ModelRuntime:
    """The parts of the one process that holds the model. Belongs to the event loop.

    Attributes:
        engine: the model thread and its queue.
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
        """`on_death` is called if the model thread dies.

        Raises InvalidInput if a setting does not fit the base.
        """
        base, placement, store = parts.base, parts.placement, parts.store
        self._model = RescoringModel(base)
        check_budget(self._model, placement.max_batch_tokens, budget_setting(config, placement))
        self._max_batch_tokens = placement.max_batch_tokens
        self._graphs = CudaGraphs(self._model, metrics) if placement.cuda_graphs else None
        self._scheduler = _scheduler(config, placement)
        self.engine = Engine(
            BatchRunner(self._model, metrics, placement.max_batch_tokens),
            self._scheduler,
            metrics,
            prepare=partial(prepare_model_thread, placement.threads),
            health_check=lambda: health_check(self._model),
            on_death=on_death,
        )
        timeout_seconds = config.store_timeout_seconds
        self.store_threads = StoreThreads(timeout_seconds, STORE_THREADS, "store")
        self._threads = StoreThreads(timeout_seconds, LOADING_THREADS, "loading", partial(use_threads, 1))
        trusted = trusted_keys(config)
        self.adapter_cache = AdapterCache(
            partial(read_weights, store, base, trusted=trusted),
            self._threads,
            metrics.adapters,
            config.max_adapter_bytes,
            size_of=self._model.encoder.served_bytes,
        )
        loader = AdapterLoader(store, self._model, self.engine, self.adapter_cache, self._threads, metrics, trusted)
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
        await self.engine.run_on_model_thread(self._warm_up, limit_seconds=WARM_UP_LIMIT_SECONDS)

    def _warm_up(self) -> None:
        if self._graphs is not None:
            self._graphs.record(self._max_batch_tokens)
        warm_up(self._model, self._max_batch_tokens, self._scheduler.cost)

    async def close(self, *, timeout_seconds: float) -> None:
        """Cancels adapter loads, then ends the model thread; waiting calls fail.

        Waits at most `timeout_seconds` for the model thread, whose batch may never end.
        """
        await self.registry.close()
        await self.adapter_cache.close()
        await self.engine.close(timeout_seconds=timeout_seconds)
        self.store_threads.shutdown()
        self._threads.shutdown()


def _scheduler(config: ServeConfig, placement: Placement) -> Scheduler:
    return Scheduler(
        max_batch_tokens=placement.max_batch_tokens,
        max_queue_tokens=config.max_queue_tokens,
        max_bulk_queue_tokens=config.max_bulk_queue_tokens,
        max_pass_seconds=config.max_pass_seconds,
        max_queue_seconds=config.max_queue_seconds,
    )


def _add_base_adapter(base: Base, adapter_cache: AdapterCache) -> AdapterHandle | None:
    """Adds the adapter of the reserved domain `base` to the cache; returns it, or None if the base has no head."""
    loaded = base_adapter(base)
    if loaded is None:
        return None
    adapter, weights = loaded
    adapter_cache.put_permanent(adapter, weights)
    return adapter
