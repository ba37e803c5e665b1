"""From the domain that a call names to the adapters that it has to do with."""

import random
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Protocol

from lorb.errors import InvalidInput, LorbError, UnknownDomain
from lorb.names import BASE_DOMAIN, CANARY, SHADOW, DomainSelector
from lorb_server.adapter import TRANSIENT_ERRORS, AdapterHandle, Route
from lorb_server.registry.domains import Domains
from lorb_server.registry.verification import Verification
from lorb_server.telemetry.adapter_metrics import AdapterMetrics

_HASH_RANGE = 2**64


class Routing(Protocol):
    """Decides which adapter answers: a Registry, or `lorb_server.fronts.engine_link.EngineLink`."""

    async def route(self, domain: str, routing_key: str) -> Route:
        """Which adapters a call for `domain` has to do with; raises InvalidInput, UnknownDomain or UnknownVersion."""

    def withdraw_canary(self, adapter: AdapterHandle, reason: str) -> None:
        """Gives this canary no more calls."""

    def served_domains(self) -> Sequence[str]:
        """The domains that can be asked for, sorted."""


class Router:
    """Selects adapters. Belongs to the event loop. What it does for a call depends on no number of adapters."""

    def __init__(
        self,
        domains: Domains,
        verification: Verification,
        metrics: AdapterMetrics,
        *,
        default_domain: str,
        allow_pinned_versions: bool,
        base_adapter: AdapterHandle | None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`chance`, 0 to 1, decides for callers that cannot be told from each other."""
        self._domains = domains
        self._verification = verification
        self._metrics = metrics
        self._default_domain = default_domain
        self._allow_pinned_versions = allow_pinned_versions
        self._base_adapter = base_adapter
        self._chance = chance

    async def route(self, domain: str, routing_key: str) -> Route:
        """See `lorb_server.registry.registry.Registry.route`."""
        selector = self._selector(domain)
        if selector.domain == BASE_DOMAIN:
            return Route(self._base())
        if selector.alias is not None or selector.version is not None:
            return Route(await self._selected(selector))
        stable = await self._selected(selector)
        canary = self._canary(selector.domain, routing_key)
        if canary is not None:
            self._metrics.canary_requests.labels(selector.domain).inc()
            return Route(canary, stable=stable)
        shadow = self._at_hand(selector.domain, SHADOW)
        return Route(stable, shadow=shadow if shadow is not stable else None)

    def depends_on_key(self, domain: str) -> bool:
        """Whether calls that name `domain` so may get one route or another by their routing keys, as things stand."""
        selector = self._selector(domain)
        if selector.alias is not None or selector.version is not None:
            return False
        return self._domains.get(selector.domain).active_share > 0

    def _selector(self, domain: str) -> DomainSelector:
        selector = DomainSelector.parse(domain or self._default())
        if selector.version is not None and not self._allow_pinned_versions:
            raise InvalidInput(
                f"domain {domain!r} asks for a version: this server takes a name or name@alias "
                "(--allow-pinned-versions)",
                field="domain",
            )
        return selector

    def _default(self) -> str:
        if not self._default_domain:
            raise InvalidInput("domain is empty, and this server has no default: name one", field="domain")
        return self._default_domain

    def _base(self) -> AdapterHandle:
        if self._base_adapter is None:
            raise UnknownDomain("the base has no score head of its own: name a domain", field="domain")
        return self._base_adapter

    async def _selected(self, selector: DomainSelector) -> AdapterHandle:
        one = self._domains.by_name.get(selector.domain)
        if one is None:
            raise UnknownDomain(f"no domain {selector.domain!r} is served here", field="domain")
        version = one.version(selector)
        try:
            return one.loaded.get(version) or await self._verification.verified(selector.domain, version)
        except TRANSIENT_ERRORS:
            raise
        except LorbError as error:
            raise self._domains.get(selector.domain).missing(selector) from error

    def _canary(self, domain: str, routing_key: str) -> AdapterHandle | None:
        """The canary, where this call is among its share."""
        share = self._domains.get(domain).active_share
        if not share:
            return None
        is_chosen = is_in_share(domain, routing_key, share) if routing_key else self._chance() < share
        return self._at_hand(domain, CANARY) if is_chosen else None

    def _at_hand(self, domain: str, alias: str) -> AdapterHandle | None:
        """An alias' adapter if it is verified. If not it is from now on on its way: nobody waits for a trial."""
        one = self._domains.get(domain)
        version = one.aliases.get(alias)
        if version is None:
            return None
        adapter = one.loaded.get(version)
        if adapter is None:
            self._verification.begin(domain, version)
        return adapter


def is_in_share(domain: str, key: str, share: float) -> bool:
    """Whether the calls of `key` are among the `share` (0 to 1) of the domain's calls that the canary takes.

    A larger share keeps those already in it; domains split their callers each in its own way.
    """
    digest = sha256(f"{domain}\0{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * _HASH_RANGE
