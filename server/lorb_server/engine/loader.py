"""Brings one version from the store to the model: read and check, stage, reproduce the golden scores."""

import asyncio
import logging
import time
from concurrent.futures import Executor

from lorb.errors import InvalidAdapter, LorbError, Unavailable
from lorb_adapters.base.loader import Base
from lorb_adapters.lora.weights import AdapterWeights
from lorb_adapters.model import RescoringModel
from lorb_adapters.store.adapter import Adapter
from lorb_adapters.store.loading import check_golden, load_adapter
from lorb_adapters.store.signing import TrustedKeys
from lorb_adapters.store.store import Store
from lorb_server.adapter import TRANSIENT_ERRORS, AdapterHandle, served
from lorb_server.engine.adapter_cache import AdapterCache
from lorb_server.engine.batch import is_out_of_memory
from lorb_server.engine.engine import Engine
from lorb_server.telemetry.logs import log_failure
from lorb_server.telemetry.metrics import Metrics

# Golden lists run between passes: many at once would hold up the calls of domains that are there already.
MAX_LOADS_AT_ONCE = 2

_log = logging.getLogger(__name__)


class AdapterLoader:
    """Loads verified adapters. Files are read on `threads`, golden lists run on the model thread."""

    def __init__(
        self,
        store: Store,
        model: RescoringModel,
        engine: Engine,
        residents: AdapterCache,
        threads: Executor,
        metrics: Metrics,
        trusted: TrustedKeys | None = None,
    ) -> None:
        """What is loaded becomes one of the `residents`; with `trusted`, one of those keys must have signed it."""
        self._trusted = trusted
        self._store = store
        self._model = model
        self._engine = engine
        self._residents = residents
        self._threads = threads
        self._metrics = metrics
        self._slots = asyncio.Semaphore(MAX_LOADS_AT_ONCE)

    async def load(self, domain: str, version: str) -> AdapterHandle:
        """Loads one version, or raises the LorbError that says why not; either is counted and logged."""
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
        known = served(adapter)
        self._residents.put(known, adapter.weights)
        return known

    async def _load_and_check(self, domain: str, version: str) -> Adapter:
        try:
            base = self._model.base
            adapter = await asyncio.get_running_loop().run_in_executor(
                self._threads, load_adapter, self._store, domain, version, base, self._trusted
            )
            await self._engine.run_on_model_thread(lambda: check_golden(adapter, self._model, base.text_encoder))
        except LorbError:
            raise
        except Exception as error:
            log_failure(_log, "an adapter could not be loaded", error, domain=domain, version=version)
            if is_out_of_memory(error):
                raise Unavailable(f"there was no memory to load {domain}@{version} with; it is tried again") from error
            raise InvalidAdapter(f"loading it raised {type(error).__name__}; the log tells where") from error
        return adapter

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
    """The weights of an adapter that was verified before, hashed and checked again; blocks.

    Its golden lists need no second look: the same weights on the same base score the same. Raises what
    `load_adapter` does, and InvalidAdapter where the store holds other weights under that version now.
    """
    loaded = load_adapter(store, adapter.ref.domain, adapter.ref.version, base, trusted)
    if loaded.digest != adapter.ref.digest:
        raise InvalidAdapter(
            f"the store's weights have digest {loaded.digest[:12]}, those verified before {adapter.ref.digest[:12]}: "
            "versions never change; publish a new one",
            field="weights_digest",
        )
    return loaded.weights
