"""Holds the snapshot of every domain; a change replaces one domain's snapshot as a whole."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from lorb_server.adapter import AdapterHandle
from lorb_server.registry.snapshot import DomainSnapshot, VersionKey, key_order
from lorb_server.telemetry.adapter_metrics import AdapterMetrics

_EMPTY = DomainSnapshot()


class Domains:
    """The current snapshot of each domain, by name. Belongs to the event loop.

    Attributes:
        generation: the store's generation when it was last read in full; -1 before the first reading.
        revision: increases with every change of any domain.
    """

    def __init__(self, metrics: AdapterMetrics, on_unload: Callable[[AdapterHandle], None]) -> None:
        """`on_unload` is called for each adapter that a new snapshot no longer has in `loaded`."""
        self.generation = -1
        self.revision = 0
        self._metrics = metrics
        self._on_unload = on_unload
        self._domains: dict[str, DomainSnapshot] = {}
        self._listeners: list[Callable[[], None]] = []

    @property
    def by_name(self) -> Mapping[str, DomainSnapshot]:
        """A read-only view of all domains, which also shows later changes."""
        return MappingProxyType(self._domains)

    def get(self, name: str) -> DomainSnapshot:
        """A domain's snapshot; an empty one for an unknown domain."""
        return self._domains.get(name, _EMPTY)

    def replace(self, name: str, snapshot: DomainSnapshot) -> None:
        """Replaces a domain's snapshot."""
        before = self.get(name)
        self._domains[name] = snapshot
        self._publish_change(name, before, snapshot)

    def remove(self, name: str) -> None:
        """Removes a domain."""
        self._publish_change(name, self._domains.pop(name), _EMPTY)

    def set_generation(self, generation: int) -> None:
        """Records that the store was read in full at this generation."""
        self.generation = generation
        self._metrics.generation.set(generation)

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Calls `listener` after every change."""
        self._listeners.append(listener)

    @property
    def refused(self) -> dict[VersionKey, str]:
        """The refused versions of all domains, each with the reason."""
        return {
            (name, version): reason
            for name, snapshot in self._domains.items()
            for version, reason in snapshot.refused.items()
        }

    def known_versions(self, domain: str = "") -> list[VersionKey]:
        """The versions of one domain, or of all domains for "", sorted by domain, then by version number.

        A version is known if it is in the store, loaded or refused.
        """
        names = [domain] if domain else list(self._domains)
        return sorted((key for name in names for key in self._keys(name)), key=key_order)

    def _keys(self, name: str) -> Iterator[VersionKey]:
        snapshot = self.get(name)
        for version in {*snapshot.versions, *snapshot.loaded, *snapshot.refused}:
            yield name, version

    def _publish_change(self, name: str, before: DomainSnapshot, after: DomainSnapshot) -> None:
        for version, adapter in before.loaded.items():
            if after.loaded.get(version) is not adapter:
                self._on_unload(adapter)
        self._metrics.update_refused(name, before.refused, after.refused)
        self._metrics.update_aliases(name, before.aliases, after.aliases)
        self._metrics.update_canary_share(name, before.active_canary_share, after.active_canary_share)
        self.revision += 1
        for listener in self._listeners:
            listener()
