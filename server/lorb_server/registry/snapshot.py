"""One domain as it serves, as an immutable picture: a call that pinned an adapter of it keeps that adapter."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from lorb.errors import InvalidInput, LorbError, UnknownDomain, UnknownVersion
from lorb.names import CANARY, STABLE, DomainSelector
from lorb_adapters.store.layout import by_number
from lorb_server.adapter import AdapterHandle
from lorb_server.registry.store_reader import DomainReading

VersionKey = tuple[str, str]  # domain and full version id

# In this order versions are loaded before anybody asks for them.
FLIP, STABLE_ALIAS, OTHER_ALIAS, ROLLBACK, PINNED = range(5)


@dataclass(frozen=True, slots=True)
class DomainSnapshot:
    """One domain.

    Attributes:
        loaded: adapters verified by this server, by version; their weights may have left the device.
        aliases: the version that each alias serves. Behind the store's where a new one is refused or not verified
            yet; one that is not in `loaded` is cold: the first call that asks for it loads it.
        wanted: the version that each alias of the store points at.
        canary_share: of the calls, 0 to 1; as the store says.
        versions: all that the store lists.
        asked_for: versions that are to be at hand, with how urgently: FLIP to PINNED.
        refused: why each refused version is.
        withdrawn: why a canary gets no calls until its alias points elsewhere, by version.
    """

    loaded: Mapping[str, AdapterHandle] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    wanted: Mapping[str, str] = field(default_factory=dict)
    canary_share: float = 0.0
    versions: frozenset[str] = frozenset()
    asked_for: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    withdrawn: Mapping[str, str] = field(default_factory=dict)

    def version(self, selector: DomainSelector) -> str:
        """The version that a selector means, verified or cold; raises UnknownDomain or UnknownVersion."""
        version = selector.version or self.aliases.get(selector.alias or STABLE, "")
        if version in self.loaded:
            return version
        if not version or version in self.refused or (selector.version and version not in self.versions):
            raise self.missing(selector)
        return version

    def missing(self, selector: DomainSelector) -> LorbError:
        """The error for a selector that nothing serves: it tells why, where that is known."""
        alias = selector.alias or STABLE
        reason = self.refused.get(selector.version or self.wanted.get(alias, ""), "")
        why = f"{reason}; see ListAdapters" if reason else "see ListAdapters"
        if selector.alias is None and selector.version is None:
            return UnknownDomain(f"domain {selector.domain!r} has no version that serves: {why}", field="domain")
        which = selector.version or alias
        return UnknownVersion(f"domain {selector.domain!r} serves no {which!r}: {why}", field="domain")

    @property
    def active_share(self) -> float:
        """The share of calls that go to the canary now."""
        version = self.aliases.get(CANARY, "")
        if not version or version in self.withdrawn or version == self.aliases.get(STABLE):
            return 0.0
        return self.canary_share

    def read(self, reading: DomainReading, *, pinned: bool) -> "DomainSnapshot":
        """The same after a reading of the store; `pinned`: every version may be asked for."""
        wanted = {alias: target.version for alias, target in reading.aliases.by_name.items()}
        versions = frozenset(reading.versions)
        refused = {version: reason for version, reason in self.refused.items() if version in versions}
        canary = reading.aliases.by_name.get(CANARY)
        after = replace(
            self,
            wanted=wanted,
            canary_share=canary.share if canary else 0.0,
            versions=versions,
            refused=refused,
            withdrawn={version: why for version, why in self.withdrawn.items() if version == wanted.get(CANARY)},
        )
        rollback = reading.aliases.rollback_target(versions - refused.keys())
        return after._asking(rollback, versions if pinned else frozenset())._serving()._cleared()

    def with_verified(self, version: str, adapter: AdapterHandle) -> "DomainSnapshot":
        """The same with a version that can serve."""
        return replace(self.forgiving(version), loaded={**self.loaded, version: adapter})._serving()

    def with_refused(self, version: str, reason: str) -> "DomainSnapshot":
        """The same with a version that cannot."""
        return replace(self, refused={**self.refused, version: reason})._serving()

    def forgiving(self, version: str) -> "DomainSnapshot":
        """The same with a version no longer refused: it may be tried again."""
        refused = {other: reason for other, reason in self.refused.items() if other != version}
        return replace(self, refused=refused)._serving()

    def withdrawing(self, version: str, reason: str) -> "DomainSnapshot":
        """The same with a canary that gets no more of the calls that do not name it."""
        return replace(self, withdrawn={**self.withdrawn, version: reason})

    def reinstating(self) -> "DomainSnapshot":
        """The same with no canary withdrawn."""
        return replace(self, withdrawn={})

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

    def unverified(self) -> Iterator[tuple[int, str]]:
        """Versions that are asked for and not verified, each with how urgently."""
        for version, urgency in self.asked_for.items():
            if version not in self.loaded:
                yield urgency, version

    def _asking(self, rollback: str | None, pinned: frozenset[str]) -> "DomainSnapshot":
        """Says what is to be at hand: aliases' targets, and the stable before, so that a rollback is instant."""
        asked_for = dict.fromkeys(sorted(pinned), PINNED)
        if rollback is not None:
            asked_for[rollback] = ROLLBACK
        for alias, version in self.wanted.items():
            urgency = STABLE_ALIAS if alias == STABLE else OTHER_ALIAS
            if self.aliases.get(alias) in self.loaded:
                urgency = FLIP  # what it serves now stays until the new one is verified
            asked_for[version] = min(urgency, asked_for.get(version, urgency))
        return replace(self, asked_for=asked_for)

    def _serving(self) -> "DomainSnapshot":
        """Points each alias at what it can serve: the version wanted, else the one before."""
        serving = {alias: self._target(alias, version) for alias, version in self.wanted.items()}
        return replace(self, aliases={alias: version for alias, version in serving.items() if version})

    def _target(self, alias: str, wanted: str) -> str:
        current = self.aliases.get(alias, "")
        if wanted not in self.loaded and current in self.loaded:
            return current
        return "" if wanted in self.refused and wanted not in self.loaded else wanted

    def _cleared(self) -> "DomainSnapshot":
        """Lets go of adapters that nothing asks for any more."""
        kept = {*self.asked_for, *self.aliases.values()}
        return replace(self, loaded={version: one for version, one in self.loaded.items() if version in kept})


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a reading of the store found: versions loaded by it, and versions refused in it."""

    generation: int
    loaded: tuple[VersionKey, ...] = ()
    refused: tuple[VersionKey, ...] = ()


def version_order(key: VersionKey) -> tuple[str, tuple[int, str]]:
    """Sorts by domain, then by number."""
    return key[0], by_number(key[1])
