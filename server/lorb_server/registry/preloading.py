"""Verifies the versions that the store asks for before calls need them, several at a time."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from lorb.errors import LorbError
from lorb_server.adapter import MAX_CONCURRENT_LOADS, TRANSIENT_ERRORS
from lorb_server.registry.domains import Domains
from lorb_server.registry.snapshot import LoadPriority, VersionKey
from lorb_server.registry.verification import Verification


class Room(Protocol):
    """What preloading uses of the adapter cache (`lorb_server.engine.adapter_cache.AdapterCache`)."""

    def has_room_for(self, num_adapters: int) -> bool:
        """Whether this many more adapters fit without evicting another."""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What became of the requested versions.

    Attributes:
        loaded: the versions that were verified now.
        refused: the versions that are refused.
        errors: the last transient error of each domain that had one, by the domain's name.
    """

    loaded: list[VersionKey] = field(default_factory=list)
    refused: list[VersionKey] = field(default_factory=list)
    errors: dict[str, LorbError] = field(default_factory=dict)


class Preloading:
    """Verifies requested versions in order of priority. Belongs to the event loop."""

    def __init__(self, domains: Domains, verification: Verification, room: Room, *, is_on: bool) -> None:
        """If `is_on` is false, only the versions of priority FLIP are verified."""
        self._domains = domains
        self._verification = verification
        self._room = room
        self._is_on = is_on

    async def load(self, domains: Iterable[str]) -> LoadResult:
        """Verifies the requested versions of these domains that are not loaded, as long as there is room."""
        result = LoadResult()
        running: set[asyncio.Task[None]] = set()
        requests = [
            (priority, name, version) for name in domains for priority, version in self._domains.get(name).unverified()
        ]
        try:
            for priority, name, version in sorted(requests):
                if self._verification.is_refused(name, version):
                    result.refused.append((name, version))
                elif priority is LoadPriority.FLIP or await self._find_room(running):
                    await _wait_until_fewer(running, MAX_CONCURRENT_LOADS)
                    running.add(asyncio.create_task(self._verify(name, version, result)))
                else:
                    # the version stays cold: the first call that needs it loads it
                    self._verification.clear_refusal(name, version)
            await _wait_until_fewer(running, 1)
        finally:
            for task in running:
                task.cancel()
        return result

    async def _find_room(self, running: set[asyncio.Task[None]]) -> bool:
        """Whether one more version may be loaded. The size of those that are being loaded is known once they are."""
        if not self._is_on:
            return False
        while running and not self._room.has_room_for(len(running) + 1):
            await _wait_until_fewer(running, len(running))
        return self._room.has_room_for(len(running) + 1)

    async def _verify(self, name: str, version: str, result: LoadResult) -> None:
        try:
            await self._verification.verify(name, version)
            result.loaded.append((name, version))
        except TRANSIENT_ERRORS as error:
            result.errors[name] = error
        except LorbError:
            result.refused.append((name, version))


async def _wait_until_fewer(running: set[asyncio.Task[None]], count: int) -> None:
    """Removes tasks that have ended, until there are fewer than `count`. Raises the error of a task that failed."""
    while len(running) >= count:
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        running -= done
        for task in done:
            task.result()
