"""Loads and unloads adapter versions so that this server follows the store.

A version serves only after verification: this server checks its files, puts its weights on the device, and reproduces
its golden scores. The registry remembers a refused version with the reason, and verifies it again when the store
changes. Until then the previous version serves. A version is not preloaded if preloading is off or the device has no
room; the first call that needs such a version loads it.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Protocol

from lorb.errors import LorbError, UnknownDomain
from lorb.names import BASE_DOMAIN, CANARY, STABLE
from lorb_server.adapter import AdapterHandle
from lorb_server.registry.alias_log import AliasLog
from lorb_server.registry.domains import Domains
from lorb_server.registry.preloading import Preloading
from lorb_server.registry.router import Router
from lorb_server.registry.snapshot import RefreshResult
from lorb_server.registry.store_reader import AdapterCatalogue, StoreReader, StoreReading
from lorb_server.registry.verification import Load, Verification
from lorb_server.single_flight import BACK_OFF_SECONDS
from lorb_server.telemetry.logs import log_failure
from lorb_server.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)


class WeightsCache(Protocol):
    """What the registry uses of the adapter cache (`lorb_server.engine.adapter_cache.AdapterCache`)."""

    def has_room_for(self, num_adapters: int) -> bool:
        """Whether this many more adapters fit without evicting another."""

    def drop(self, adapter: AdapterHandle) -> None:
        """Frees the weights of an adapter that is no longer loaded."""


class Registry:
    """The domains and their adapters. Belongs to the event loop; other threads read the store and load adapters.

    Attributes:
        domains: the snapshot of each domain.
        alias_log: logs changes of aliases.
        last_error: why the last refresh by `try_refresh` failed; "" if it succeeded.
        route, depends_on_key: the Router's methods of the same names.
    """

    def __init__(
        self,
        catalogue: AdapterCatalogue,
        load: Load,
        adapter_cache: WeightsCache,
        metrics: Metrics,
        *,
        preload: bool = True,
        default_domain: str = "",
        allow_pinned_versions: bool = False,
        base_adapter: AdapterHandle | None = None,
        threads: Executor | None = None,
        back_off_seconds: float = BACK_OFF_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`load` verifies a version and puts it on the device. `base_adapter` serves the reserved domain `base`.

        The store is read on `threads`; with None, on the event loop's threads.

        With `preload`, requested versions are loaded before calls need them, as long as `adapter_cache` has room.
        """
        self.domains = Domains(metrics.adapters, adapter_cache.drop)
        self._metrics = metrics.adapters
        self._allow_pinned_versions = allow_pinned_versions
        self._base_adapter = base_adapter
        self.alias_log = AliasLog(self.domains)
        self._reader = StoreReader(catalogue, threads)
        self._verification = Verification(
            self.domains, load, drop=adapter_cache.drop, back_off_seconds=back_off_seconds, clock=clock
        )
        self._preloading = Preloading(self.domains, self._verification, adapter_cache, is_on=preload)
        self._router = Router(
            self.domains,
            self._verification,
            metrics.adapters,
            default_domain=default_domain,
            allow_pinned_versions=allow_pinned_versions,
            base_adapter=base_adapter,
        )
        self.route = self._router.route
        self.depends_on_key = self._router.depends_on_key
        self._lock = asyncio.Lock()  # allows one refresh or change at a time; calls never wait for this lock
        self.last_error = ""

    @property
    def has_read(self) -> bool:
        """Whether the store's domains were listed at least once; some of them may not have been readable."""
        return self._reader.has_read

    def served_domains(self) -> list[str]:
        """The domains that a request may name, sorted."""
        names = [name for name, snapshot in self.domains.by_name.items() if STABLE in snapshot.aliases]
        return sorted([*names, BASE_DOMAIN] if self._base_adapter else names)

    def withdraw_canary(self, adapter: AdapterHandle, reason: str) -> None:
        """Sends the canary's calls to stable until the alias points at another version or a refresh is forced."""
        name, version = adapter.ref.domain, adapter.ref.version
        snapshot = self.domains.get(name)
        if snapshot.aliases.get(CANARY) != version or version in snapshot.withdrawn:
            return
        self.domains.replace(name, snapshot.with_withdrawn_canary(version, reason))
        self._metrics.canary_withdrawals.labels(name).inc()
        fields = {"domain": name, "version": version, "reason": reason}
        _log.error("canary withdrawn: its calls go to stable", extra={"fields": fields})

    async def poll(self, seconds: float) -> None:
        """Refreshes every `seconds` until cancelled; an error is logged, and the next refresh tries again."""
        while True:
            await asyncio.sleep(seconds)
            await self.try_refresh()

    async def try_refresh(self) -> None:
        """Refreshes; an error is logged and counted, and the loaded versions keep serving."""
        try:
            await self.refresh()
        except LorbError as error:
            self._report_error(error.message)
        except Exception as error:
            log_failure(_log, "reading the store failed", error)
            self._report_error(type(error).__name__)
        else:
            if self.last_error:
                _log.info("the store is readable again")
            self.last_error = ""

    async def refresh(self, *, force: bool = False) -> RefreshResult:
        """Reads the store if its generation changed. With `force`, always reads it and retries refused versions.

        After the first reading, a domain is dropped only if the store has a newer index and no longer has the domain.
        With `force`, the index may be the same or older: an operator may have restored a copy of the store.

        Raises LorbError if part of the store is not readable, but applies the readable part first.
        """
        async with self._lock:
            generation = await self._reader.generation(may_go_back=force)
            if generation == self.domains.generation and not force:
                return RefreshResult(generation)
            if force:
                self._reset()
            self._verification.generation = generation
            return await self._read(generation, force=force)

    async def verify(self, domain: str, version: str) -> None:
        """Verifies a version before an alias points at it. Raises LorbError if the version cannot serve."""
        async with self._lock:
            await self._verification.verify(domain, version)

    async def unload(self, domain: str, version: str) -> None:
        """Unloads a version; a later call or refresh may load it again.

        Raises LorbError if the version is not loaded, or if an alias serves it.
        """
        async with self._lock:
            if domain not in self.domains.by_name:
                raise UnknownDomain(f"no domain {domain!r} here", field="domain")
            self.domains.replace(domain, self.domains.get(domain).without_version(domain, version))

    async def close(self) -> None:
        """Cancels the verifications in progress."""
        await self._verification.close()

    def _reset(self) -> None:
        """Forgets which domains were read, which versions were refused, and which canaries were withdrawn."""
        self._reader.forget()
        self._verification.retry_refused()
        for name, snapshot in list(self.domains.by_name.items()):
            if snapshot.withdrawn:
                self.domains.replace(name, snapshot.with_canary_reinstated())

    async def _read(self, generation: int, *, force: bool) -> RefreshResult:
        snapshots = self.domains.by_name
        # unchanged domains with refused versions are read too, so that any change of the store leads to another
        # verification of these versions
        with_refusals = {name for name, snapshot in snapshots.items() if snapshot.refused}
        served = {name for name, snapshot in snapshots.items() if snapshot.store_aliases}
        reading = await self._reader.read(always=with_refusals, served=served, may_drop=force)
        await self._apply(reading)
        result = await self._preloading.load(reading.domains)
        reading.errors.update(result.errors)
        self._reader.applied(reading)
        self.alias_log.log_changes()
        if reading.errors:
            raise next(iter(reading.errors.values()))
        self.domains.set_generation(generation)
        self._verification.prune()
        return RefreshResult(generation, tuple(sorted(result.loaded)), tuple(sorted(result.refused)))

    async def _apply(self, reading: StoreReading) -> None:
        """Applies those changes of the store that need no loading."""
        for name in [name for name in self.domains.by_name if name not in reading]:
            self.domains.remove(name)
        for name, domain in reading.domains.items():
            before = self.domains.get(name)
            after = before.with_reading(domain, allow_pinned_versions=self._allow_pinned_versions)
            if after != before:
                self.domains.replace(name, after)
            await asyncio.sleep(0)  # lets calls run while thousands of domains are applied

    def _report_error(self, message: str) -> None:
        self._metrics.registry_errors.inc()
        if message != self.last_error:  # log an error once, not at every poll
            self.last_error = message
            fields = {"reason": message}
            _log.error("the store is not readable: the loaded versions keep serving", extra={"fields": fields})
