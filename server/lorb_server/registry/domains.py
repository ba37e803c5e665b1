"""All domains as they serve now. Each one's picture is replaced whole; the others are not touched."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from lorb_server.adapter import AdapterHandle
from lorb_server.registry.snapshot import DomainSnapshot, VersionKey, version_order
from lorb_server.telemetry.adapter_metrics import AdapterMetrics

_NONE = DomainSnapshot()


class Domains:
    """Domains by name. Belongs to the event loop.

    Attributes:
        generation: of the store when it was read in full; -1 before.
        state: grows with every change of what serves.
    """

    def __init__(self, metrics: AdapterMetrics, on_leave: Callable[[AdapterHandle], None]) -> None:
        """`on_leave` is told of adapters that no domain has any more."""
        self.generation = -1
        self.state = 0
        self._metrics = metrics
        self._on_leave = on_leave
        self._domains: dict[str, DomainSnapshot] = {}
        self._watchers: list[Callable[[], None]] = []

    @property
    def by_name(self) -> Mapping[str, DomainSnapshot]:
        """All of them; follows what happens."""
        return MappingProxyType(self._domains)

    def get(self, name: str) -> DomainSnapshot:
        """A domain, empty if it is not there."""
        return self._domains.get(name, _NONE)

    def replace(self, name: str, domain: DomainSnapshot) -> None:
        """The one place where what serves changes: a reference is replaced."""
        before = self.get(name)
        self._domains[name] = domain
        self._follow(name, before, domain)

    def remove(self, name: str) -> None:
        """Takes a domain away."""
        self._follow(name, self._domains.pop(name), _NONE)

    def read(self, generation: int) -> None:
        """Notes that the store of this generation has been read in full."""
        self.generation = generation
        self._metrics.generation.set(generation)

    def watch(self, changed: Callable[[], None]) -> None:
        """Calls `changed` after every change of what serves."""
        self._watchers.append(changed)

    @property
    def refused(self) -> dict[VersionKey, str]:
        """Why each refused version is, of all domains."""
        return {(name, version): why for name, one in self._domains.items() for version, why in one.refused.items()}

    def known_versions(self, domain: str = "") -> list[VersionKey]:
        """All versions listed, loaded or refused, of one domain or of all; by domain, then by number."""
        names = [domain] if domain else list(self._domains)
        return sorted((key for name in names for key in self._keys(name)), key=version_order)

    def _keys(self, name: str) -> Iterator[VersionKey]:
        one = self.get(name)
        for version in {*one.versions, *one.loaded, *one.refused}:
            yield name, version

    def _follow(self, name: str, before: DomainSnapshot, after: DomainSnapshot) -> None:
        for version, adapter in before.loaded.items():
            if after.loaded.get(version) is not adapter:
                self._on_leave(adapter)
        self._metrics.show_refused(name, before.refused, after.refused)
        self._metrics.show_aliases(name, before.aliases, after.aliases)
        self._metrics.show_canary(name, before.active_share, after.active_share)
        self.state += 1
        for changed in self._watchers:
            changed()
