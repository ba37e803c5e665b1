"""Immutable snapshots of a domain; a change of the domain makes a new snapshot."""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from lorb.errors import InvalidInput, LorbError, UnknownDomain, UnknownVersion
from lorb.names import CANARY, STABLE, DomainSelector
from lorb_adapters.store.layout import version_order
from lorb_server.adapter import AdapterHandle
from lorb_server.registry.store_reader import DomainReading

VersionKey = tuple[str, str]  # domain and full version id


class LoadPriority(enum.IntEnum):
    """Why a version is loaded before a call asks for it. Versions with the lowest value are loaded first."""

    FLIP = 0  # an alias points at this version in the store, but still serves another loaded version
    STABLE_ALIAS = 1
    OTHER_ALIAS = 2
    ROLLBACK = 3  # the previous stable version, so that a rollback needs no loading
    PINNED = 4  # callers may ask for the version by its id


@dataclass(frozen=True, slots=True)
class DomainSnapshot:
    """The state of one domain.

    Attributes:
        loaded: the adapters that this server has verified, by version; their weights may have left the device.
        aliases: the version that each alias serves here. While the store's new version is refused or not yet verified,
            the alias keeps its loaded version. A version that is not in `loaded` is cold: the first call that needs the
            version loads it.
        store_aliases: the version that each alias points at in the store.
        canary_share: the canary's share of calls as set in the store, 0 to 1.
        versions: all versions in the store.
        requested: the versions to load before calls need them, each with its priority.
        refused: the reason for each refused version.
        withdrawn: the reason for each withdrawn canary version. Such a version gets only calls that name it.
    """

    loaded: Mapping[str, AdapterHandle] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    store_aliases: Mapping[str, str] = field(default_factory=dict)
    canary_share: float = 0.0
    versions: frozenset[str] = frozenset()
    requested: Mapping[str, LoadPriority] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    withdrawn: Mapping[str, str] = field(default_factory=dict)

    def resolve(self, selector: DomainSelector) -> str:
        """The version, loaded or cold, that a selector names. Raises UnknownDomain or UnknownVersion."""
        version = selector.version or self.aliases.get(selector.alias or STABLE, "")
        if version in self.loaded:
            return version
        if not version or version in self.refused or (selector.version and version not in self.versions):
            raise self.not_served(selector)
        return version

    def not_served(self, selector: DomainSelector) -> LorbError:
        """The error for a selector for which no version serves, with the reason if it is known."""
        alias = selector.alias or STABLE
        reason = self.refused.get(selector.version or self.store_aliases.get(alias, ""), "")
        why = f"{reason}; see ListAdapters" if reason else "see ListAdapters"
        if selector.alias is None and selector.version is None:
            return UnknownDomain(f"domain {selector.domain!r} has no version that serves: {why}", field="domain")
        name = selector.version or alias
        return UnknownVersion(f"domain {selector.domain!r} serves no {name!r}: {why}", field="domain")

    @property
    def active_canary_share(self) -> float:
        """The share of calls that the canary gets now, 0 to 1; 0 if it is withdrawn or is the stable version."""
        version = self.aliases.get(CANARY, "")
        if not version or version in self.withdrawn or version == self.aliases.get(STABLE):
            return 0.0
        return self.canary_share

    def with_reading(self, reading: DomainReading, *, allow_pinned_versions: bool) -> "DomainSnapshot":
        """A copy updated with a reading of the store. With `allow_pinned_versions`, all versions are requested."""
        store_aliases = {alias: target.version for alias, target in reading.aliases.by_name.items()}
        versions = frozenset(reading.versions)
        refused = {version: reason for version, reason in self.refused.items() if version in versions}
        canary = reading.aliases.by_name.get(CANARY)
        after = replace(
            self,
            store_aliases=store_aliases,
            canary_share=canary.share if canary else 0.0,
            versions=versions,
            refused=refused,
            withdrawn={
                version: reason for version, reason in self.withdrawn.items() if version == store_aliases.get(CANARY)
            },
        )
        rollback = reading.aliases.rollback_target(versions - refused.keys())
        pinned = versions if allow_pinned_versions else frozenset[str]()
        return after._with_requested(rollback, pinned)._with_aliases()._without_unused()

    def with_verified(self, version: str, adapter: AdapterHandle) -> "DomainSnapshot":
        """A copy in which `version` is verified and loaded, as `adapter`."""
        return replace(self.without_refusal(version), loaded={**self.loaded, version: adapter})._with_aliases()

    def with_refused(self, version: str, reason: str) -> "DomainSnapshot":
        """A copy in which a version is refused."""
        return replace(self, refused={**self.refused, version: reason})._with_aliases()

    def without_refusal(self, version: str) -> "DomainSnapshot":
        """A copy in which a version is not refused, so that it may be verified again."""
        refused = {other: reason for other, reason in self.refused.items() if other != version}
        return replace(self, refused=refused)._with_aliases()

    def with_withdrawn_canary(self, version: str, reason: str) -> "DomainSnapshot":
        """A copy in which a canary version is withdrawn."""
        return replace(self, withdrawn={**self.withdrawn, version: reason})

    def with_canary_reinstated(self) -> "DomainSnapshot":
        """A copy in which no canary is withdrawn."""
        return replace(self, withdrawn={})

    def without_version(self, domain: str, version: str) -> "DomainSnapshot":
        """A copy in which a version is unloaded.

        Raises InvalidInput if an alias serves the version, and UnknownVersion if the version is not loaded.
        """
        serving = sorted(alias for alias, target in self.aliases.items() if target == version)
        if serving:
            raise InvalidInput(
                f"version {version} of {domain!r} is served as {', '.join(serving)}: point each alias elsewhere first",
                field="version",
            )
        if version not in self.loaded:
            raise UnknownVersion(f"version {version} of {domain!r} is not loaded", field="version")
        return replace(self, loaded={other: adapter for other, adapter in self.loaded.items() if other != version})

    def unverified(self) -> Iterator[tuple[LoadPriority, str]]:
        """The requested versions that are not loaded, each with its priority."""
        for version, priority in self.requested.items():
            if version not in self.loaded:
                yield priority, version

    def _with_requested(self, rollback: str | None, pinned: frozenset[str]) -> "DomainSnapshot":
        """A copy that requests the targets of the aliases, the previous stable version, and the pinned versions."""
        requested = dict.fromkeys(sorted(pinned), LoadPriority.PINNED)
        if rollback is not None:
            requested[rollback] = LoadPriority.ROLLBACK
        for alias, version in self.store_aliases.items():
            priority = LoadPriority.STABLE_ALIAS if alias == STABLE else LoadPriority.OTHER_ALIAS
            if self.aliases.get(alias) in self.loaded:
                priority = LoadPriority.FLIP  # the alias serves a loaded version until this version is verified
            requested[version] = min(priority, requested.get(version, priority))
        return replace(self, requested=requested)

    def _with_aliases(self) -> "DomainSnapshot":
        """A copy in which each alias has the version that it can serve; an alias without such a version is left out."""
        served = {alias: self._served_version(alias, target) for alias, target in self.store_aliases.items()}
        return replace(self, aliases={alias: version for alias, version in served.items() if version})

    def _served_version(self, alias: str, target: str) -> str:
        """The version for an alias to serve if the store points the alias at `target`; "" if it can serve none.

        The alias keeps its loaded version until `target` is loaded. An alias without a loaded version serves `target`,
        unless `target` is refused.
        """
        current = self.aliases.get(alias, "")
        if target not in self.loaded and current in self.loaded:
            return current
        return "" if target in self.refused and target not in self.loaded else target

    def _without_unused(self) -> "DomainSnapshot":
        """A copy without the loaded versions that are neither requested nor served by an alias."""
        used = {*self.requested, *self.aliases.values()}
        return replace(self, loaded={version: adapter for version, adapter in self.loaded.items() if version in used})


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """The outcome of one refresh: the store's generation, and the versions that the refresh loaded and refused."""

    generation: int
    loaded: tuple[VersionKey, ...] = ()
    refused: tuple[VersionKey, ...] = ()


def key_order(key: VersionKey) -> tuple[str, tuple[int, str]]:
    """A sort key: by domain, then by version number."""
    return key[0], version_order(key[1])
