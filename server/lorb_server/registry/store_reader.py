"""Reads the domains of the store that changed since the last reading."""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from lorb.errors import InvalidAdapter, LorbError, UnknownDomain
from lorb.names import BASE_DOMAIN
from lorb_adapters.store.aliases import Aliases


class AdapterCatalogue(Protocol):
    """What the registry reads of a store (`lorb_adapters.store.store.Store`). Every method may block."""

    def generation(self) -> int:
        """A number that changes with every publication and every change of an alias."""

    def candidate_domains(self) -> Iterable[str]:
        """Names of folders and other entries that may be domains."""

    def change_token(self, domain: str) -> str | None:
        """A token that changes when the domain changes; None if the store has no such token."""

    def versions(self, domain: str) -> Iterable[str]:
        """A domain's versions."""

    def aliases(self, domain: str) -> Aliases:
        """A domain's aliases."""


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


def read_store(
    catalogue: AdapterCatalogue, change_tokens: Mapping[str, str], always_read: Container[str]
) -> StoreReading:
    """Reads the domains in `always_read`, and those whose change token is None or not the one in `change_tokens`.

    Blocks. Raises LorbError if the store as a whole is not readable.
    """
    reading = StoreReading()
    for name in catalogue.candidate_domains():
        if name == BASE_DOMAIN:
            continue
        try:
            token = catalogue.change_token(name)
            if token is not None and token == change_tokens.get(name) and name not in always_read:
                reading.unchanged.add(name)
            elif versions := _versions(lambda: catalogue.versions(name)):  # noqa: B023 - called in this iteration
                reading.domains[name] = DomainReading(catalogue.aliases(name), versions, token)
        except LorbError as error:  # the other domains are still read
            reading.errors[name] = error
    return reading


def _versions(read: Callable[[], Iterable[str]]) -> tuple[str, ...]:
    """The versions that `read` returns; none if the entry is an empty folder, a link or a file, so not a domain."""
    try:
        return tuple(read())
    except (UnknownDomain, InvalidAdapter):
        return ()
