"""Reads the domains of the store that changed since the last reading, and notices a store that has vanished."""

import asyncio
from collections.abc import Collection, Container, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Protocol

from lorb.errors import InvalidAdapter, LorbError, StoreUnavailable, UnknownDomain
from lorb.names import BASE_DOMAIN
from lorb_adapters.store.aliases import Aliases

_DOMAINS_AT_ONCE = 16  # read by one function on a thread, whose time may be limited


class AdapterCatalogue(Protocol):
    """What the registry reads of a store (`lorb_adapters.store.store.Store`). Every method may block."""

    def generation(self) -> int:
        """A number that grows with every publication and every change of an alias; 0 if the store has no index."""

    def candidate_domains(self) -> Iterable[str]:
        """Names of folders and other entries that may be domains."""

    def change_token(self, domain: str) -> str | None:
        """A token that changes when the domain changes; None if the store has no such token."""

    def versions(self, domain: str) -> Iterable[str]:
        """A domain's versions."""

    def aliases(self, domain: str) -> Aliases:
        """A domain's aliases; empty if the domain has versions and no file of aliases."""


@dataclass(frozen=True, slots=True)
class DomainReading:
    """What was read of one domain of the store.

    Attributes:
        aliases: the domain's aliases.
        versions: all versions of the domain.
        change_token: the domain's change token, taken before the other fields were read; None if there is none.
    """

    aliases: Aliases
    versions: tuple[str, ...]
    change_token: str | None


@dataclass(frozen=True, slots=True)
class StoreReading:
    """The result of one reading of the store.

    Attributes:
        domains: the domains that were read, by name.
        unchanged: the domains that have not changed, and were not read.
        errors: the error of each domain that could not be read, by name.
    """

    domains: dict[str, DomainReading] = field(default_factory=dict)
    unchanged: set[str] = field(default_factory=set)
    errors: dict[str, LorbError] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        """Whether the store has this domain. True also if reading the domain failed, because the store may have it."""
        return name in self.domains or name in self.unchanged or name in self.errors


class StoreReader:
    """Reads a store on other threads. Belongs to the event loop; one reading at a time.

    After the first reading, a missing index, an older index, and missing aliases are errors: a store that has vanished,
    for example because it was unmounted, must not look like one whose domains were removed.
    """

    def __init__(self, catalogue: AdapterCatalogue, threads: Executor | None) -> None:
        """Reads on `threads`; with None, on the event loop's threads."""
        self._catalogue = catalogue
        self._threads = threads
        self._newest_generation = -1
        self._listed_generation = -1  # when the domains were last listed
        self._change_tokens: dict[str, str] = {}  # by domain, only for domains that were applied without an error

    @property
    def has_read(self) -> bool:
        """Whether the store's domains were listed at least once; some of them may not have been readable."""
        return self._listed_generation >= 0

    async def generation(self, *, may_go_back: bool) -> int:
        """The store's generation.

        Raises StoreUnavailable if there was an index and it is missing, or if it went back but may not.
        """
        generation = await asyncio.get_running_loop().run_in_executor(self._threads, self._catalogue.generation)
        newest = self._newest_generation
        if generation == 0 and newest > 0:
            raise StoreUnavailable(
                "the store's index.json is missing: mount or restore the store, or restart the server if the store is "
                "meant to be empty",
                field="store",
            )
        if generation < newest and not may_go_back:
            raise StoreUnavailable(
                f"the store's index.json went back from generation {newest} to {generation}: if an older copy was "
                "restored on purpose, call RefreshRegistry or restart the server",
                field="store",
            )
        self._newest_generation = generation
        return generation

    async def read(self, *, always: Container[str], served: Collection[str], may_drop: bool) -> StoreReading:
        """Reads the domains in `always`, and those whose change token is None or not the one at the last `applied`.

        `served` has the domains that had aliases at their last reading. If the store no longer has one of them, this is
        an error unless the index is newer than at the last reading, or `may_drop` is true. Raises LorbError if the
        store as a whole is not readable.
        """
        loop, generation = asyncio.get_running_loop(), self._newest_generation
        names = await loop.run_in_executor(self._threads, lambda: list(self._catalogue.candidate_domains()))
        names = [name for name in names if name != BASE_DOMAIN]
        reading = StoreReading()
        for first in range(0, len(names), _DOMAINS_AT_ONCE):
            some = names[first : first + _DOMAINS_AT_ONCE]
            await loop.run_in_executor(self._threads, self._read_some, some, reading, always, served)
        gone = [name for name in served if name not in reading]
        if gone:
            await self.generation(may_go_back=False)  # raises if the store has vanished since its index was read
        if generation == self._listed_generation and not may_drop:
            reading.errors.update({name: _gone(name) for name in gone})
        self._listed_generation = generation
        return reading

    def applied(self, reading: StoreReading) -> None:
        """Notes that a reading was applied: domains without an error are read again only when they change."""
        self._change_tokens = {name: token for name, token in self._change_tokens.items() if name in reading.unchanged}
        for name, domain in reading.domains.items():
            if name not in reading.errors and domain.change_token is not None:
                self._change_tokens[name] = domain.change_token

    def forget(self) -> None:
        """Makes the next `read` read every domain."""
        self._change_tokens.clear()

    def _read_some(
        self, names: Iterable[str], reading: StoreReading, always: Container[str], served: Container[str]
    ) -> None:
        for name in names:
            try:
                token = self._catalogue.change_token(name)
                if token is not None and token == self._change_tokens.get(name) and name not in always:
                    reading.unchanged.add(name)
                elif (domain := _read_domain(self._catalogue, name, token, had_aliases=name in served)) is not None:
                    reading.domains[name] = domain
            except LorbError as error:  # the other domains are still read
                reading.errors[name] = error


def _read_domain(
    catalogue: AdapterCatalogue, name: str, token: str | None, *, had_aliases: bool
) -> DomainReading | None:
    """Reads one domain. Returns None if the entry has no versions: it may be an empty folder, a link or a file.

    Raises StoreUnavailable if the domain had aliases, and now its aliases or its versions are missing.
    """
    versions = _versions(catalogue, name)
    if versions:
        aliases = catalogue.aliases(name)
        if had_aliases and aliases == Aliases():
            raise _missing(f"{name}/aliases.json")
        return DomainReading(aliases, versions, token)
    if had_aliases and not _has_removed_aliases(catalogue, name):
        raise _missing(f"{name}/versions")
    return None


def _versions(catalogue: AdapterCatalogue, name: str) -> tuple[str, ...]:
    try:
        return tuple(catalogue.versions(name))
    except (UnknownDomain, InvalidAdapter):
        return ()


def _has_removed_aliases(catalogue: AdapterCatalogue, name: str) -> bool:
    """Whether the domain has a file of aliases, and the file has none. Raises LorbError if it cannot be read."""
    try:
        return not catalogue.aliases(name).by_name
    except UnknownDomain:  # neither versions nor a file of aliases
        return False


def _missing(path: str) -> StoreUnavailable:
    return StoreUnavailable(f"{path} is missing from the store: restore it", field="store")


def _gone(domain: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"domain {domain!r} is gone from the store, but the store's index is the same: restore the domain, or call "
        "RefreshRegistry or restart the server if it was removed on purpose",
        field="store",
    )
