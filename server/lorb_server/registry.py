"""Keeps the picture of what serves in step with the store.

A version serves only after it has been verified, staged and found to reproduce its golden scores. What cannot
be loaded is remembered with the reason and not tried again until the store changes; the version before keeps
serving.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import replace
from typing import Protocol

from lorb.errors import (
    InvalidInput,
    LorbError,
    ModelFailed,
    StoreUnavailable,
    Unavailable,
    UnknownDomain,
)
from lorb.names import BASE_DOMAIN, STABLE, DomainSelector
from lorb_adapters.aliases import Aliases
from lorb_server.logs import log_failure
from lorb_server.metrics import Metrics
from lorb_server.served import ServedAdapter
from lorb_server.snapshot import DomainSnapshot, Refreshed, Snapshot, VersionKey

# These say nothing about the version that was being loaded.
_NOT_ITS_FAULT = (StoreUnavailable, ModelFailed, Unavailable)

_log = logging.getLogger(__name__)

Load = Callable[[str, str], Awaitable[ServedAdapter]]


class AdapterCatalogue(Protocol):
    """What the registry needs of `lorb_adapters.store.Store`. All of it may block."""

    def generation(self) -> int:
        """Changes with every publication and every alias flip."""

    def domains(self) -> Iterable[str]:
        """All domains."""

    def versions(self, domain: str) -> Iterable[str]:
        """A domain's versions."""

    def aliases(self, domain: str) -> Aliases:
        """Where its aliases point."""


class Registry:
    """Domains and their adapters. Belongs to the event loop; reads and loads elsewhere."""

    def __init__(
        self,
        catalogue: AdapterCatalogue,
        load: Load,
        metrics: Metrics,
        *,
        default_domain: str = "",
        allow_pinned_versions: bool = False,
        base_adapter: ServedAdapter | None = None,
    ) -> None:
        """`load` verifies and stages a version; `base_adapter` serves the reserved domain, if any."""
        self.snapshot = Snapshot()
        self._catalogue = catalogue
        self._load = load
        self._metrics = metrics
        self._default_domain = default_domain
        self._allow_pinned_versions = allow_pinned_versions
        self._base_adapter = base_adapter
        self._lock = asyncio.Lock()  # one reading or change at a time
        self._refused_at: dict[VersionKey, int] = {}  # the generation in which each was refused
        self._last_trouble = ""

    def select(self, domain: str) -> ServedAdapter:
        """The adapter that serves `domain` ("name", "name@alias", "name@version" or empty) now.

        Raises InvalidInput, UnknownDomain or UnknownVersion.
        """
        selector = DomainSelector.parse(domain or self._default())
        if selector.version is not None and not self._allow_pinned_versions:
            raise InvalidInput(
                f"domain {domain!r} asks for a version: this server takes a name or name@alias "
                "(--allow-pinned-versions)",
                field="domain",
            )
        if selector.domain == BASE_DOMAIN:
            return self._select_base()
        if selector.domain not in self.snapshot.domains:
            raise UnknownDomain(f"no domain {selector.domain!r} is served here", field="domain")
        return self.snapshot.domains[selector.domain].select(selector)

    def served_domains(self) -> list[str]:
        """Domains that a request may name, sorted."""
        names = [name for name, domain in self.snapshot.domains.items() if STABLE in domain.aliases]
        return sorted([*names, BASE_DOMAIN] if self._base_adapter else names)

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
            if generation == self.snapshot.generation and not force:
                return Refreshed(generation)
            if force:
                self._refused_at.clear()
            return await self._read(generation)

    async def verify(self, domain: str, version: str) -> None:
        """Makes sure that a version can serve, before an alias points at it; raises LorbError if not."""
        async with self._lock:
            one = self.snapshot.domain(domain)
            if version not in one.loaded:
                adapter = await self._load(domain, version)
                one = replace(one, loaded={**one.loaded, version: adapter})
                self._flip(self.snapshot.with_domain(domain, one, self.snapshot.refused_of(domain)))

    async def unload(self, domain: str, version: str) -> None:
        """Takes a version off until the next reading asks for it; raises InvalidInput where an alias does."""
        async with self._lock:
            if domain not in self.snapshot.domains:
                raise UnknownDomain(f"no domain {domain!r} here", field="domain")
            one = self.snapshot.domains[domain].without(domain, version)
            self._flip(self.snapshot.with_domain(domain, one, self.snapshot.refused_of(domain)))

    def _default(self) -> str:
        if not self._default_domain:
            raise InvalidInput("domain is empty, and this server has no default: name one", field="domain")
        return self._default_domain

    def _select_base(self) -> ServedAdapter:
        if self._base_adapter is None:
            raise UnknownDomain("the base has no score head of its own: name a domain", field="domain")
        return self._base_adapter

    async def _read(self, generation: int) -> Refreshed:
        names = frozenset(await asyncio.to_thread(self._catalogue.domains)) - {BASE_DOMAIN}
        before = self.snapshot.loaded_refs
        self._flip(self.snapshot.only(names))
        trouble: LorbError | None = None
        for name in sorted(names):
            try:
                await self._read_domain(name, generation)
            except LorbError as error:  # the other domains are not to suffer
                trouble = error
        if trouble is not None:
            raise trouble
        self._flip(replace(self.snapshot, generation=generation))
        self._refused_at = {key: at for key, at in self._refused_at.items() if key in self.snapshot.refused}
        loaded = self.snapshot.loaded_refs - before
        return Refreshed(
            generation,
            loaded=tuple(sorted((ref.domain, ref.version) for ref in loaded)),
            refused=tuple(sorted(key for key, at in self._refused_at.items() if at == generation)),
        )

    async def _read_domain(self, name: str, generation: int) -> None:
        aliases = await asyncio.to_thread(self._catalogue.aliases, name)
        versions = tuple(await asyncio.to_thread(self._catalogue.versions, name))
        before = self.snapshot.domain(name)
        wanted = {alias: target.version for alias, target in aliases.by_name.items()}
        asked_for = self._asked_for(name, aliases, versions)
        loaded, refused = await self._load_missing(name, asked_for, before, generation)
        for version, reason in self.snapshot.refused_of(name).items():
            if version in versions and version not in loaded:  # still there, and never changing
                refused.setdefault(version, reason)
        serving = {
            alias: version if version in loaded else before.aliases.get(alias, "") for alias, version in wanted.items()
        }
        serving = {alias: version for alias, version in serving.items() if version}
        resident = {*asked_for, *serving.values()}
        after = DomainSnapshot(
            {version: adapter for version, adapter in loaded.items() if version in resident},
            serving,
            wanted,
            versions,
        )
        self._flip(self.snapshot.with_domain(name, after, refused))

    def _asked_for(self, name: str, aliases: Aliases, versions: Collection[str]) -> list[str]:
        """What should be resident: aliases' targets, and the stable before, so that a rollback is instant."""
        asked_for = {target.version for target in aliases.by_name.values()}
        previous = aliases.rollback_target(frozenset(versions) - self.snapshot.refused_of(name).keys())
        if previous is not None:
            asked_for.add(previous)
        return sorted(asked_for | set(versions if self._allow_pinned_versions else ()))

    async def _load_missing(
        self, name: str, asked_for: Iterable[str], before: DomainSnapshot, generation: int
    ) -> tuple[dict[str, ServedAdapter], dict[str, str]]:
        """The loaded versions by id, and the reasons of those refused."""
        loaded = dict(before.loaded)
        refused: dict[str, str] = {}
        known = self.snapshot.refused_of(name)
        for version in asked_for:
            if version in loaded:
                continue
            if self._refused_at.get((name, version)) == generation and version in known:
                refused[version] = known[version]
                continue
            try:
                loaded[version] = await self._load(name, version)
                self._refused_at.pop((name, version), None)
            except _NOT_ITS_FAULT:
                raise
            except LorbError as error:
                refused[version] = error.message
                self._refused_at[name, version] = generation
        return loaded, refused

    def _flip(self, snapshot: Snapshot) -> None:
        """The one place where what serves changes: a reference is replaced."""
        self.snapshot = snapshot
        self._metrics.generation.set(snapshot.generation)
        self._metrics.show_adapters(snapshot.loaded, snapshot.refused)

    def _note_trouble(self, message: str) -> None:
        self._metrics.registry_errors.inc()
        if message != self._last_trouble:  # once, not at every poll
            self._last_trouble = message
            _log.error(
                "the store cannot be read; what is loaded keeps serving",
                extra={"fields": {"reason": message}},
            )
