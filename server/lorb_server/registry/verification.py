"""Versions on their way to serving: each is verified once, whoever asks for it, and a refusal is remembered."""

import time
from collections.abc import Awaitable, Callable
from functools import partial

from lorb.errors import LorbError
from lorb_server.adapter import TRANSIENT_ERRORS, AdapterHandle
from lorb_server.registry.domains import Domains
from lorb_server.registry.snapshot import VersionKey
from lorb_server.single_flight import BACK_OFF_SECONDS, SingleFlight

Load = Callable[[str, str], Awaitable[AdapterHandle]]


class Verification:
    """Verifies versions and notes in the domains how that went. Belongs to the event loop.

    Attributes:
        generation: of the store, as it is being read or was read last.
    """

    def __init__(
        self,
        domains: Domains,
        load: Load,
        *,
        back_off_seconds: float = BACK_OFF_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`load` verifies and stages a version, or raises the LorbError that says why not."""
        self.generation = -1
        self._domains = domains
        self._load = load
        self._loads: SingleFlight[VersionKey, AdapterHandle] = SingleFlight(
            back_off_seconds=back_off_seconds, clock=clock
        )
        self._refused_at: dict[VersionKey, int] = {}  # the store's generation in which each was refused

    async def verified(self, domain: str, version: str) -> AdapterHandle:
        """A version for a call that waits for it; raises LorbError where it cannot serve.

        For a moment after a store or model in trouble, callers get that error without another attempt.
        """
        adapter = self._domains.get(domain).loaded.get(version)
        return adapter or await self._loads.join((domain, version), partial(self._verify, domain, version))

    async def verify(self, domain: str, version: str) -> AdapterHandle:
        """The same for an operator or a reading of the store, who try again at once."""
        adapter = self._domains.get(domain).loaded.get(version)
        load = partial(self._verify, domain, version)
        return adapter or await self._loads.join((domain, version), load, is_patient=False)

    def begin(self, domain: str, version: str) -> None:
        """Verifies a version in the background: no call waits for it."""
        self._loads.start((domain, version), partial(self._verify, domain, version))

    def is_refused(self, domain: str, version: str) -> bool:
        """Whether it was refused since the store last changed."""
        return version in self._domains.get(domain).refused and (
            self._refused_at.get((domain, version)) == self.generation
        )

    def forgive(self, domain: str, version: str) -> None:
        """Lets the next call for a version try it again, refused though it was."""
        one = self._domains.get(domain)
        self._loads.forget((domain, version))
        if version in one.refused:
            self._domains.replace(domain, one.forgiving(version))

    def forget_refusals(self) -> None:
        """Lets every refused version be tried again."""
        self._refused_at.clear()

    def prune(self) -> None:
        """Forgets when versions were refused that are no longer."""
        self._refused_at = {
            key: at for key, at in self._refused_at.items() if key[1] in self._domains.get(key[0]).refused
        }

    async def close(self) -> None:
        """Gives up what is being verified."""
        await self._loads.close()

    async def _verify(self, domain: str, version: str) -> AdapterHandle:
        generation = self.generation
        try:
            adapter = await self._load(domain, version)
        except TRANSIENT_ERRORS:
            raise
        except LorbError as error:
            self._refuse(domain, version, generation, error.message)
            raise
        self._refused_at.pop((domain, version), None)
        one = self._domains.get(domain)
        self._domains.replace(domain, one.with_verified(version, adapter))
        return adapter

    def _refuse(self, domain: str, version: str, generation: int, reason: str) -> None:
        one = self._domains.get(domain)
        if version in one.asked_for:  # not one that an operator had looked at before any alias points at it
            self._refused_at[domain, version] = generation
            self._domains.replace(domain, one.with_refused(version, reason))
