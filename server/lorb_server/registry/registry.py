"""Keeps the picture of what serves in step with the store.

A version serves only after it has been verified, staged and found to reproduce its golden scores. What cannot
be loaded is remembered with the reason and not tried again until the store changes; the version before keeps
serving. What does not fit on the device, or is not to be loaded in advance, is loaded by the first call for it.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

from lorb.errors import LorbError, UnknownDomain
from lorb.names import BASE_DOMAIN, CANARY, STABLE
from lorb_server.adapter import TRANSIENT_ERRORS, AdapterHandle, Route
from lorb_server.registry.domains import Domains
from lorb_server.registry.router import Router
from lorb_server.registry.snapshot import FLIP, Refreshed, VersionKey
from lorb_server.registry.store_reader import AdapterCatalogue, StoreReading, read_store
from lorb_server.registry.verification import Load, Verification
from lorb_server.single_flight import BACK_OFF_SECONDS
from lorb_server.telemetry.logs import log_failure
from lorb_server.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)


class Room(Protocol):
    """What the registry needs of `lorb_server.engine.adapter_cache.AdapterCache`."""

    @property
    def has_room(self) -> bool:
        """Whether one more adapter pushes nobody out."""

    def drop(self, adapter: AdapterHandle) -> None:
        """Lets go of the weights of an adapter that is not served any more."""


class Registry:
    """Domains and their adapters. Belongs to the event loop; reads and loads elsewhere."""

    def __init__(
        self,
        catalogue: AdapterCatalogue,
        load: Load,
        room: Room,
        metrics: Metrics,
        *,
        preload: bool = True,
        default_domain: str = "",
        allow_pinned_versions: bool = False,
        base_adapter: AdapterHandle | None = None,
        back_off_seconds: float = BACK_OFF_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`load` verifies and stages a version; `base_adapter` serves the reserved domain, if any.

        With `preload`, what aliases point at is loaded in advance while there is `room`.
        """
        self.domains = Domains(metrics.adapters, room.drop)
        self._catalogue = catalogue
        self._room = room
        self._metrics = metrics.adapters
        self._preload = preload
        self._allow_pinned_versions = allow_pinned_versions
        self._base_adapter = base_adapter
        self._verification = Verification(self.domains, load, back_off_seconds=back_off_seconds, clock=clock)
        self._router = Router(
            self.domains,
            self._verification,
            metrics.adapters,
            default_domain=default_domain,
            allow_pinned_versions=allow_pinned_versions,
            base_adapter=base_adapter,
        )
        self._lock = asyncio.Lock()  # one reading or change at a time; calls never wait for it
        self._stamps: dict[str, str] = {}  # of the domains that have been read in full
        self._last_trouble = ""

    async def route(self, domain: str, routing_key: str) -> Route:
        """The adapters for a call that names `domain` ("name", "name@alias", "name@version" or empty).

        A name alone is stable, or its canary for the share of routing keys that it takes. A version that has not
        been loaded yet is, while other calls go on. Raises InvalidInput, UnknownDomain or UnknownVersion, or the
        trouble of the store or the model that keeps it from being loaded.
        """
        return await self._router.route(domain, routing_key)

    def depends_on_key(self, domain: str) -> bool:
        """Whether calls that name `domain` so are split by their routing keys, as things stand."""
        return self._router.depends_on_key(domain)

    def served_domains(self) -> list[str]:
        """Domains that a request may name, sorted."""
        names = [name for name, domain in self.domains.by_name.items() if STABLE in domain.aliases]
        return sorted([*names, BASE_DOMAIN] if self._base_adapter else names)

    def withdraw_canary(self, adapter: AdapterHandle, reason: str) -> None:
        """Sends a domain's calls to stable until its canary alias points at another version, or a forced refresh."""
        name, version = adapter.ref.domain, adapter.ref.version
        one = self.domains.get(name)
        if one.aliases.get(CANARY) != version or version in one.withdrawn:
            return
        self.domains.replace(name, one.withdrawing(version, reason))
        self._metrics.canary_withdrawals.labels(name).inc()
        fields = {"domain": name, "version": version, "reason": reason}
        _log.error("canary withdrawn: its calls go to stable", extra={"fields": fields})

    async def poll(self, seconds: float) -> None:
        """Reads the store whenever its generation changes, for ever; what fails is tried again."""
        while True:
            await asyncio.sleep(seconds)
            await self.refresh_if_possible()

    async def refresh_if_possible(self) -> None:
        """Reads the store if it changed; trouble is logged and counted, and what is loaded keeps serving."""
        try:
            await self.refresh()
        except LorbError as error:
            self._note_trouble(error.message)
        except Exception as error:
            log_failure(_log, "reading the store failed", error)
            self._note_trouble(type(error).__name__)
        else:
            self._last_trouble = ""

    async def refresh(self, *, force: bool = False) -> Refreshed:
        """Reads the store if its generation changed; with `force` in any case, refused versions included.

        Raises LorbError where part of it could not be read; the rest is up to date even so.
        """
        async with self._lock:
            generation = await asyncio.to_thread(self._catalogue.generation)
            if generation == self.domains.generation and not force:
                return Refreshed(generation)
            if force:
                self._forget()
            self._verification.generation = generation
            return await self._read(generation)

    async def verify(self, domain: str, version: str) -> None:
        """Makes sure that a version can serve, before an alias points at it; raises LorbError if not."""
        async with self._lock:
            await self._verification.verify(domain, version)

    async def unload(self, domain: str, version: str) -> None:
        """Takes a version off until a reading of its domain asks for it; raises InvalidInput where an alias does."""
        async with self._lock:
            if domain not in self.domains.by_name:
                raise UnknownDomain(f"no domain {domain!r} here", field="domain")
            self.domains.replace(domain, self.domains.get(domain).without(domain, version))

    async def close(self) -> None:
        """Gives up what is being verified."""
        await self._verification.close()

    def _forget(self) -> None:
        """Lets everything be read and tried again: domains, refused versions, withdrawn canaries."""
        self._stamps.clear()
        self._verification.forget_refusals()
        for name, one in list(self.domains.by_name.items()):
            if one.withdrawn:
                self.domains.replace(name, one.reinstating())

    async def _read(self, generation: int) -> Refreshed:
        # a refused version is tried again whenever the store changes, so its domain is not left out
        unsettled = {name for name, one in self.domains.by_name.items() if one.refused}
        found = await asyncio.to_thread(read_store, self._catalogue, self._stamps, unsettled)
        await self._follow(found)
        loaded, refused, troubles = await self._load_in_advance(found)
        found.troubles.update(troubles)
        self._stamps = {name: stamp for name, stamp in self._stamps.items() if name in found.unchanged}
        for name, reading in found.domains.items():
            if name not in found.troubles and reading.stamp is not None:
                self._stamps[name] = reading.stamp
        if found.troubles:
            raise next(iter(found.troubles.values()))
        self.domains.read(generation)
        self._verification.prune()
        return Refreshed(generation, tuple(sorted(loaded)), tuple(sorted(refused)))

    async def _follow(self, found: StoreReading) -> None:
        """Takes over what changed, as far as that needs no loading."""
        for name in [name for name in self.domains.by_name if name not in found]:
            self.domains.remove(name)
        for name, reading in found.domains.items():
            one = self.domains.get(name)
            after = one.read(reading, pinned=self._allow_pinned_versions)
            if after != one:
                self.domains.replace(name, after)
            await asyncio.sleep(0)  # calls get their turn between thousands of domains

    async def _load_in_advance(
        self, found: StoreReading
    ) -> tuple[list[VersionKey], list[VersionKey], dict[str, LorbError]]:
        """Verifies what the changed domains ask for, the most urgent first.

        Returns the versions loaded, those refused, and by domain what is no fault of a version.
        """
        loaded: list[VersionKey] = []
        refused: list[VersionKey] = []
        troubles: dict[str, LorbError] = {}
        wants = [(urgency, name, version) for name in found.domains for urgency, version in self._unverified(name)]
        for urgency, name, version in sorted(wants):
            if self._verification.is_refused(name, version):
                refused.append((name, version))
            elif urgency != FLIP and not (self._preload and self._room.has_room):
                self._verification.forgive(name, version)  # it stays cold: whoever calls for it first loads it
            else:
                try:
                    await self._verification.verify(name, version)
                    loaded.append((name, version))
                except TRANSIENT_ERRORS as error:
                    troubles[name] = error
                except LorbError:
                    refused.append((name, version))
        return loaded, refused, troubles

    def _unverified(self, name: str) -> list[tuple[int, str]]:
        return list(self.domains.get(name).unverified())

    def _note_trouble(self, message: str) -> None:
        self._metrics.registry_errors.inc()
        if message != self._last_trouble:  # once, not at every poll
            self._last_trouble = message
            _log.error(
                "the store cannot be read; what is loaded keeps serving",
                extra={"fields": {"reason": message}},
            )
