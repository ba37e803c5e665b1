"""Loads versions from the store onto the device: reads and checks the files, then reproduces the golden scores."""

import asyncio
import logging
import time
from concurrent.futures import Executor

from lorb.errors import InvalidAdapter, LorbError, ModelFailed, Unavailable
from lorb.names import BASE_DOMAIN
from lorb.ranked import AdapterRef
from lorb_adapters.base.loader import Base
from lorb_adapters.lora.weights import AdapterWeights, base_only_weights
from lorb_adapters.model import RescoringModel
from lorb_adapters.ranking import Ranking, RankPrior
from lorb_adapters.store.adapter import Adapter, weights_digest
from lorb_adapters.store.golden_scores import golden_hypotheses
from lorb_adapters.store.signing import TrustedKeys
from lorb_adapters.store.store import Store
from lorb_adapters.store.verified_loading import load_adapter
from lorb_adapters.text import TextNormalization
from lorb_server.adapter import MAX_CONCURRENT_LOADS, TRANSIENT_ERRORS, AdapterHandle
from lorb_server.call import Call, Priority
from lorb_server.engine.adapter_cache import AdapterCache
from lorb_server.engine.device import is_out_of_memory
from lorb_server.engine.engine import Engine
from lorb_server.engine.scheduling.deadline_queue import Entry
from lorb_server.telemetry.logs import log_failure
from lorb_server.telemetry.metrics import Metrics

# Each golden list is represented by this many hypotheses: hypotheses of one list differ by a few words, so that more of
# them would take time and find nothing else. `lorb-adapters verify` scores all of them.
MAX_GOLDEN_HYPOTHESES_PER_LIST = 3
_NO_DEADLINE = 1e9  # seconds on the monotonic clock, which begins when the machine starts

_log = logging.getLogger(__name__)


class AdapterLoader:
    """Loads verified adapters into the cache. Reads files on `threads`; has the engine score the golden lists."""

    def __init__(
        self,
        store: Store,
        model: RescoringModel,
        engine: Engine,
        adapter_cache: AdapterCache,
        threads: Executor,
        metrics: Metrics,
        trusted: TrustedKeys | None = None,
    ) -> None:
        """One of the keys in `trusted` must have signed each version; with None, no signature is required."""
        self._store = store
        self._model = model
        self._engine = engine
        self._adapter_cache = adapter_cache
        self._threads = threads
        self._metrics = metrics
        self._trusted = trusted
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_LOADS)

    async def load(self, domain: str, version: str) -> AdapterHandle:
        """Verifies one version, loads it into the cache, and returns its handle. Counts and logs loads and refusals.

        Raises one of TRANSIENT_ERRORS if the version is not at fault, and any other LorbError if it is refused.
        """
        started = time.monotonic()
        try:
            async with self._slots:
                adapter = await self._load_and_check(domain, version)
        except TRANSIENT_ERRORS:
            raise
        except LorbError as error:
            self._note("refused", domain, version, started, reason=error.message)
            raise
        self._note("loaded", domain, version, started, digest=adapter.digest)
        handle = handle_of(adapter)
        self._adapter_cache.put(handle, adapter.weights)
        return handle

    async def _load_and_check(self, domain: str, version: str) -> Adapter:
        try:
            base = self._model.base
            adapter = await asyncio.get_running_loop().run_in_executor(
                self._threads, load_adapter, self._store, domain, version, base, self._trusted
            )
            await self._check_golden_scores(adapter)
        except LorbError:
            raise
        except Exception as error:
            log_failure(_log, "loading an adapter failed", error, domain=domain, version=version)
            if is_out_of_memory(error):
                raise Unavailable(f"there is no memory to load {domain}@{version}: the server tries again") from error
            raise InvalidAdapter(f"loading the adapter raised {type(error).__name__}: see the server's log") from error
        return adapter

    async def _check_golden_scores(self, adapter: Adapter) -> None:
        """Queues the hypotheses of the golden lists as single lists, which the scheduler takes in idle time.

        Raises InvalidAdapter if a score is not the trainer's, and what the model raises on a hypothesis.
        """
        base = self._model.base
        golden_lists = await asyncio.get_running_loop().run_in_executor(
            self._threads,
            lambda: list(
                golden_hypotheses(adapter, base.text_encoder, base.dtype, max_per_list=MAX_GOLDEN_HYPOTHESES_PER_LIST)
            ),
        )
        call = Call(adapter=handle_of(adapter), answer_by=_NO_DEADLINE, priority=Priority.VERIFICATION)
        rows = [row for golden in golden_lists for row in golden.rows]
        futures = [self._engine.submit(Entry(call, [row], 1, adapter.weights)) for row in rows]
        try:
            scored = iter(await asyncio.gather(*futures))
        except ModelFailed as error:
            if error.__cause__ is None:  # not because of this version
                raise
            raise error.__cause__ from None
        finally:
            for future in futures:
                future.cancel()  # those that still wait after a failure
        for golden in golden_lists:
            golden.check([next(scored).scores[0] for _ in golden.rows])

    def _note(self, result: str, domain: str, version: str, started: float, **fields: str) -> None:
        seconds = time.monotonic() - started
        self._metrics.adapters.loads.labels(domain, result).inc()
        self._metrics.adapters.load_duration.observe(seconds)
        level = logging.INFO if result == "loaded" else logging.ERROR
        details = {"domain": domain, "version": version, "seconds": round(seconds, 4), **fields}
        _log.log(level, "adapter %s", result, extra={"fields": details})


def read_weights(
    store: Store, base: Base, adapter: AdapterHandle, trusted: TrustedKeys | None = None
) -> AdapterWeights:
    """Reads the files of an adapter that was verified before, checks them again, and returns the weights. Blocks.

    The golden lists are not scored again: the same weights on the same base give the same scores. Raises LorbError if
    reading or a check fails; the error is InvalidAdapter if the store now holds other weights under this version.
    """
    loaded = load_adapter(store, adapter.ref.domain, adapter.ref.version, base, trusted)
    if loaded.digest != adapter.ref.digest:
        raise InvalidAdapter(
            f"the store's weights have digest {loaded.digest[:12]}, but those verified before had digest "
            f"{adapter.ref.digest[:12]}: versions never change; publish a new version",
            field="weights_digest",
        )
    return loaded.weights


def base_adapter(base: Base) -> tuple[AdapterHandle, AdapterWeights] | None:
    """The adapter of the reserved domain `base`: the base's own head, with weight 1. None if the base has no head."""
    if base.head is None:
        return None
    weights = base_only_weights(base.head)
    digest = weights_digest(weights)
    ranking = Ranking(
        weight=1.0,
        posterior_scale=1.0,
        switching_margin=0.0,
        rank_prior=RankPrior(log_probabilities=(0.0,), weight=0.0, posterior_scale=1.0),
    )
    weights_on_device = weights.to(base.device, base.dtype)
    handle = AdapterHandle(
        ref=AdapterRef(BASE_DOMAIN, f"1-{digest[:12]}", digest),
        ranking=ranking,
        normalization=TextNormalization(),
        uses_context=False,
        size_bytes=weights_on_device.size_bytes,
    )
    return handle, weights_on_device


def handle_of(adapter: Adapter) -> AdapterHandle:
    """The handle of a loaded adapter."""
    manifest = adapter.manifest
    return AdapterHandle(
        ref=adapter.ref,
        ranking=manifest.ranking,
        normalization=manifest.normalization,
        uses_context=manifest.uses_context,
        training_score_mean=manifest.first_pass_statistics.get("mean"),
        training_score_deviation=manifest.first_pass_statistics.get("std"),
        size_bytes=adapter.weights.size_bytes,
    )
