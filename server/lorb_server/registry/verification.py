"""Verifies adapter versions before they serve, and remembers refusals. Concurrent callers share one verification.

`engine/loader.py` does the verification itself: it reads and checks the files (with `store/verified_loading.py` of
lorb_adapters), puts the weights on the device and reproduces the golden scores.
"""

import time
from collections.abc import Awaitable, Callable
from functools import partial

from lorb.errors import LorbError, UnknownDomain
from lorb_server.adapter import TRANSIENT_ERRORS, AdapterHandle
from lorb_server.registry.domains import Domains
from lorb_server.registry.snapshot import VersionKey
from lorb_server.single_flight import BACK_OFF_SECONDS, SingleFlight

Load = Callable[[str, str], Awaitable[AdapterHandle]]


class Verification:
    """Verifies versions and records the outcome in the domains. Belongs to the event loop.

    Attributes:
        generation: the store's generation at the current or last reading.
    """

    def __init__(
        self,
        domains: Domains,
        load: Load,
        *,
        drop: Callable[[AdapterHandle], None] = lambda adapter: None,
        back_off_seconds: float = BACK_OFF_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`load` verifies a version and puts its weights on the device; it raises LorbError on failure.

        `drop` takes the weights off the device again, if the version's domain was removed meanwhile.
        """
        self.generation = -1
        self._domains = domains
        self._load = load
        self._drop = drop
        self._loads: SingleFlight[VersionKey, AdapterHandle] = SingleFlight(
            back_off_seconds=back_off_seconds, clock=clock
        )
        self._refused_at: dict[VersionKey, int] = {}  # the store's generation at each refusal

    async def verify_for_call(self, domain: str, version: str) -> AdapterHandle:
        """Verifies a version that a call waits for. Raises the LorbError that keeps the version from serving.

        Within the back-off time after a failure, raises the same error again without another attempt.
        """
        adapter = self._domains.get(domain).loaded.get(version)
        return adapter or await self._loads.join((domain, version), self._verifying(domain, version))

    async def verify(self, domain: str, version: str) -> AdapterHandle:
        """Verifies a version for an operator or a refresh, even within the back-off time after a failure.

        Raises the LorbError that keeps the version from serving.
        """
        adapter = self._domains.get(domain).loaded.get(version)
        return adapter or await self._loads.join((domain, version), self._verifying(domain, version), backs_off=False)

    def start(self, domain: str, version: str) -> None:
        """Starts to verify a version in the background, but does nothing within the back-off time after a failure."""
        self._loads.start((domain, version), self._verifying(domain, version))

    def is_refused(self, domain: str, version: str) -> bool:
        """Whether the version is refused, and was last refused at the store's current `generation`."""
        return version in self._domains.get(domain).refused and (
            self._refused_at.get((domain, version)) == self.generation
        )

    def clear_refusal(self, domain: str, version: str) -> None:
        """Lets the next call for a version verify it again."""
        snapshot = self._domains.get(domain)
        self._loads.forget((domain, version))
        if version in snapshot.refused:
            self._domains.replace(domain, snapshot.without_refusal(version))

    def retry_refused(self) -> None:
        """Lets the next refresh verify every refused version again."""
        self._refused_at.clear()

    def prune(self) -> None:
        """Forgets the generation of the refusal for each version that is no longer refused."""
        self._refused_at = {
            key: generation
            for key, generation in self._refused_at.items()
            if key[1] in self._domains.get(key[0]).refused
        }

    async def close(self) -> None:
        """Cancels the verifications in progress."""
        await self._loads.close()

    def _verifying(self, domain: str, version: str) -> Callable[[], Awaitable[AdapterHandle]]:
        # an operator may verify a version of a domain that is not known here yet
        return partial(self._verify, domain, version, is_known=domain in self._domains.by_name)

    async def _verify(self, domain: str, version: str, *, is_known: bool) -> AdapterHandle:
        generation = self.generation
        try:
            adapter = await self._load(domain, version)
        except TRANSIENT_ERRORS:
            raise
        except LorbError as error:
            self._refuse(domain, version, generation, error.message)
            raise
        self._refused_at.pop((domain, version), None)
        if is_known and domain not in self._domains.by_name:
            self._drop(adapter)
            raise UnknownDomain(f"domain {domain!r} was removed from the store while it was loaded", field="domain")
        self._domains.replace(domain, self._domains.get(domain).with_verified(version, adapter))
        return adapter

    def _refuse(self, domain: str, version: str, generation: int, reason: str) -> None:
        snapshot = self._domains.get(domain)
        # A version that is not requested is verified for an operator, before an alias points at it. Its refusal is not
        # recorded.
        if version in snapshot.requested:
            self._refused_at[domain, version] = generation
            self._domains.replace(domain, snapshot.with_refused(version, reason))
