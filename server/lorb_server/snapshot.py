"""Which adapters serve, as an immutable picture: a call that pinned an adapter of it keeps that adapter."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from lorb.errors import InvalidInput, UnknownDomain, UnknownVersion
from lorb.names import STABLE, DomainSelector
from lorb.ranked import AdapterRef
from lorb_adapters.layout import by_number
from lorb_server.served import ServedAdapter

VersionKey = tuple[str, str]  # domain and full version id


@dataclass(frozen=True, slots=True)
class DomainSnapshot:
    """One domain as it serves.

    Attributes:
        loaded: verified adapters by version.
        aliases: the loaded version that each alias serves; behind the store's where a new one was refused.
        wanted: the version that each alias of the store points at.
        versions: all that the store lists.
    """

    loaded: Mapping[str, ServedAdapter] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    wanted: Mapping[str, str] = field(default_factory=dict)
    versions: tuple[str, ...] = ()

    def select(self, selector: DomainSelector) -> ServedAdapter:
        """The adapter of an alias or a version; raises UnknownDomain or UnknownVersion."""
        alias = selector.alias or STABLE
        version = selector.version or self.aliases.get(alias, "")
        if version in self.loaded:
            return self.loaded[version]
        if selector.alias is None and selector.version is None:
            raise UnknownDomain(
                f"domain {selector.domain!r} has no version that serves; ListAdapters tells why",
                field="domain",
            )
        raise UnknownVersion(
            f"domain {selector.domain!r} serves no {selector.version or alias!r}; see ListAdapters",
            field="domain",
        )

    def without(self, domain: str, version: str) -> "DomainSnapshot":
        """The same with a version taken off; raises InvalidInput where an alias serves it."""
        serving = sorted(alias for alias, target in self.aliases.items() if target == version)
        if serving:
            raise InvalidInput(
                f"{', '.join(serving)} of {domain!r} serves version {version}: point it elsewhere first",
                field="version",
            )
        if version not in self.loaded:
            raise UnknownVersion(f"version {version} of {domain!r} is not loaded", field="version")
        return replace(self, loaded={v: a for v, a in self.loaded.items() if v != version})


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All domains at one time.

    Attributes:
        generation: of the store when it was read; -1 before the first reading.
        domains: by name.
        refused: why each refused version is.
    """

    generation: int = -1
    domains: Mapping[str, DomainSnapshot] = field(default_factory=dict)
    refused: Mapping[VersionKey, str] = field(default_factory=dict)

    def domain(self, name: str) -> DomainSnapshot:
        """A domain, empty if it is not there yet."""
        return self.domains.get(name) or DomainSnapshot()

    def with_domain(self, name: str, domain: DomainSnapshot, refused: Mapping[str, str]) -> "Snapshot":
        """The same with one domain replaced, and the reasons of its refused versions, by version."""
        others = {key: reason for key, reason in self.refused.items() if key[0] != name}
        return replace(
            self,
            domains={**self.domains, name: domain},
            refused={**others, **{(name, version): reason for version, reason in refused.items()}},
        )

    def only(self, names: frozenset[str]) -> "Snapshot":
        """The same without the domains that are not in `names`."""
        return replace(
            self,
            domains={name: domain for name, domain in self.domains.items() if name in names},
            refused={key: reason for key, reason in self.refused.items() if key[0] in names},
        )

    def refused_of(self, name: str) -> dict[str, str]:
        """Reasons by version, of one domain."""
        return {version: reason for (domain, version), reason in self.refused.items() if domain == name}

    @property
    def loaded(self) -> list[ServedAdapter]:
        """All loaded adapters."""
        return [adapter for domain in self.domains.values() for adapter in domain.loaded.values()]

    @property
    def loaded_refs(self) -> frozenset[AdapterRef]:
        """Their identities."""
        return frozenset(adapter.ref for adapter in self.loaded)

    def known_versions(self, domain: str = "") -> list[VersionKey]:
        """All versions listed, loaded or refused, of one domain or of all; by domain, then by number."""
        keys = set(self.refused)
        for name, one in self.domains.items():
            keys |= {(name, version) for version in (*one.versions, *one.loaded)}
        return sorted(
            (key for key in keys if not domain or key[0] == domain),
            key=version_order,
        )


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a reading of the store found: versions loaded by it, and versions refused in it."""

    generation: int
    loaded: tuple[VersionKey, ...] = ()
    refused: tuple[VersionKey, ...] = ()


def version_order(key: VersionKey) -> tuple[str, tuple[int, str]]:
    """Sorts by domain, then by number."""
    return key[0], by_number(key[1])
