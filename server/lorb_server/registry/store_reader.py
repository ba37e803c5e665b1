"""A look at all domains of the store at once, off the event loop: only those that changed are read."""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from lorb.errors import InvalidAdapter, LorbError, UnknownDomain
from lorb.names import BASE_DOMAIN
from lorb_adapters.store.aliases import Aliases


class AdapterCatalogue(Protocol):
    """What the registry needs of `lorb_adapters.store.store.Store`. All of it may block."""

    def generation(self) -> int:
        """Changes with every publication and every alias flip."""

    def possible_domains(self) -> Iterable[str]:
        """All that may be domains."""

    def stamp(self, domain: str) -> str | None:
        """Other than before where the domain changed; None where that cannot be told without reading it."""

    def versions(self, domain: str) -> Iterable[str]:
        """A domain's versions."""

    def aliases(self, domain: str) -> Aliases:
        """Where its aliases point."""


@dataclass(frozen=True, slots=True)
class DomainReading:
    """One domain as the store has it.

    Attributes:
        aliases: where they point.
        versions: all of them.
        stamp: the store's, from before these were read.
    """

    aliases: Aliases
    versions: tuple[str, ...]
    stamp: str | None


@dataclass(frozen=True, slots=True)
class StoreReading:
    """What a look at the store found.

    Attributes:
        domains: those that changed, or of which that cannot be told.
        unchanged: the others.
        troubles: why a domain could not be read.
    """

    domains: dict[str, DomainReading] = field(default_factory=dict)
    unchanged: set[str] = field(default_factory=set)
    troubles: dict[str, LorbError] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        """Whether the store has this domain, or may have."""
        return name in self.domains or name in self.unchanged or name in self.troubles


def read_store(catalogue: AdapterCatalogue, stamps: Mapping[str, str], unsettled: Container[str]) -> StoreReading:
    """Reads all domains but those whose stamp is still the same; `unsettled` ones in any case. Blocks.

    Raises LorbError where the store as a whole cannot be read.
    """
    found = StoreReading()
    for name in catalogue.possible_domains():
        if name == BASE_DOMAIN:
            continue
        try:
            stamp = catalogue.stamp(name)
            if stamp is not None and stamp == stamps.get(name) and name not in unsettled:
                found.unchanged.add(name)
            elif versions := _versions(lambda: catalogue.versions(name)):  # noqa: B023 - called here
                found.domains[name] = DomainReading(catalogue.aliases(name), versions, stamp)
        except LorbError as error:  # the other domains are not to suffer
            found.troubles[name] = error
    return found


def _versions(read: Callable[[], Iterable[str]]) -> tuple[str, ...]:
    """None where it is no domain of ours: a folder without versions, a link, a file in a folder's place."""
    try:
        return tuple(read())
    except (UnknownDomain, InvalidAdapter):
        return ()
