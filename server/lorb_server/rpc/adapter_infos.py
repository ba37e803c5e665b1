"""Describes adapter versions for the admin service: their states here, and what the store has about them."""

import asyncio
from collections.abc import Container, Iterable, Sequence
from concurrent.futures import Executor
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from lorb.errors import LorbError, StoreUnavailable
from lorb.ranked import AdapterRef
from lorb.v1 import admin_pb2 as pb
from lorb_adapters.store.manifest import Manifest
from lorb_adapters.store.store import Store
from lorb_server.registry.domains import Domains
from lorb_server.registry.snapshot import VersionKey
from lorb_server.rpc.errors import without_places

_MANIFESTS_AT_ONCE = 16  # read by one function on a thread, whose time is limited


class AdapterInfos:
    """Describes versions, also while the store is not readable. Belongs to the event loop."""

    def __init__(self, store: Store, domains: Domains, on_device: Container[AdapterRef], threads: Executor) -> None:
        """`on_device` contains the ref of each adapter whose weights are on the device. `threads` read the store."""
        self._store = store
        self._domains = domains
        self._on_device = on_device
        self._threads = threads

    async def of(self, keys: Iterable[VersionKey]) -> list[pb.AdapterInfo]:
        """Describes some versions, in the same order."""
        keys = list(keys)
        manifests = await self.manifests(keys)
        return [self._info(key, manifest) for key, manifest in zip(keys, manifests, strict=True)]

    async def manifests(self, keys: Sequence[VersionKey]) -> list[Manifest | None]:
        """The manifests of some versions; None for each that is not readable."""
        loop = asyncio.get_running_loop()
        manifests: list[Manifest | None] = []
        for first in range(0, len(keys), _MANIFESTS_AT_ONCE):
            some = keys[first : first + _MANIFESTS_AT_ONCE]
            try:
                manifests += await loop.run_in_executor(self._threads, self._read, some)
            except StoreUnavailable:  # the store does not answer
                manifests += [None] * len(some)
        return manifests

    def _read(self, keys: Sequence[VersionKey]) -> list[Manifest | None]:
        return [self._manifest(key) for key in keys]

    def _manifest(self, key: VersionKey) -> Manifest | None:
        """A version's manifest; None if the manifest is not readable."""
        try:
            return self._store.manifest(*key)
        except LorbError:
            return None

    def _info(self, key: VersionKey, manifest: Manifest | None) -> pb.AdapterInfo:
        domain = self._domains.get(key[0])
        adapter = domain.loaded.get(key[1])
        info = pb.AdapterInfo(
            domain=key[0],
            version=key[1],
            aliases=sorted(alias for alias, version in domain.store_aliases.items() if version == key[1]),
            state=pb.ADAPTER_STATE_AVAILABLE,
        )
        if adapter is not None:
            info.state = pb.ADAPTER_STATE_READY
            info.digest = adapter.ref.digest
            info.size_bytes = adapter.size_bytes if adapter.ref in self._on_device else 0
        if key[1] in domain.withdrawn:
            info.state = pb.ADAPTER_STATE_REFUSED
            info.reason = without_places(f"withdrawn: {domain.withdrawn[key[1]]}")
        elif adapter is None and key[1] in domain.refused:
            info.state = pb.ADAPTER_STATE_REFUSED
            info.reason = without_places(domain.refused[key[1]])
        if manifest is not None:
            info.digest = manifest.weights_digest
            info.created_time.CopyFrom(_timestamp(manifest.created_time))
        return info


def _timestamp(created_time: str) -> Timestamp:
    timestamp = Timestamp()
    try:
        timestamp.FromDatetime(datetime.fromisoformat(created_time))
    except ValueError:  # the manifest's time is not readable: 0 stands for an unknown time
        timestamp.FromSeconds(0)
    return timestamp
