"""Chooses the adapters of each call by the call's domain, and decides which calls a canary answers."""

import random
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Protocol

from lorb.errors import InvalidInput, LorbError, UnknownDomain
from lorb.names import BASE_DOMAIN, CANARY, SHADOW, STABLE, DomainSelector
from lorb_server.adapter import TRANSIENT_ERRORS, AdapterHandle, Route
from lorb_server.registry.domains import Domains
from lorb_server.registry.verification import Verification
from lorb_server.telemetry.adapter_metrics import AdapterMetrics

_HASH_RANGE = 2**64


class Routing(Protocol):
    """Chooses the adapters of calls. The engine process uses its Registry, a front process its EngineLink."""

    async def route(self, domain: str, routing_key: str) -> Route:
        """The adapters for a call to `domain`. Raises LorbError, for example UnknownDomain."""

    def withdraw_canary(self, adapter: AdapterHandle, reason: str) -> None:
        """Stops sending calls to this canary."""

    def served_domains(self) -> Sequence[str]:
        """The domains that a request may name, sorted."""


class Router:
    """Chooses the adapters of calls. Belongs to the event loop. A choice among loaded adapters takes constant time."""

    def __init__(
        self,
        domains: Domains,
        verification: Verification,
        metrics: AdapterMetrics,
        *,
        default_domain: str,
        allow_pinned_versions: bool,
        base_adapter: AdapterHandle | None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`draw` returns a random number from 0 to 1: it decides whether a call without a key gets the canary."""
        self._domains = domains
        self._verification = verification
        self._metrics = metrics
        self._default_domain = default_domain
        self._allow_pinned_versions = allow_pinned_versions
        self._base_adapter = base_adapter
        self._draw = draw

    async def route(self, domain: str, routing_key: str) -> Route:
        """The adapters for a call that names `domain`: "name", "name@alias", "name@version", or "" for the default.

        A name alone means the domain's canary for the canary's share of the routing keys, and the domain's stable
        version for all others. A version that is not loaded is loaded first.

        Raises InvalidInput if `domain` is malformed, is "" without a default, or names a version that must not be
        pinned. Raises UnknownDomain if the domain is not served, and UnknownVersion if the named alias or version is
        not served. Raises the transient error that kept a version from being loaded.
        """
        selector = self._selector(domain)
        if selector.domain == BASE_DOMAIN:
            return Route(self._base())
        if selector.alias is not None or selector.version is not None:
            return Route(await self._load(selector))
        stable = await self._load(selector)
        canary = self._canary(selector.domain, routing_key)
        if canary is not None:
            self._metrics.canary_requests.labels(selector.domain).inc()
            return Route(canary, stable=stable, alias=CANARY)
        shadow = self._loaded_or_started(selector.domain, SHADOW)
        has_canary = self._domains.get(selector.domain).active_canary_share > 0
        return Route(stable, shadow=shadow if shadow is not stable else None, alias=STABLE if has_canary else "")

    def depends_on_key(self, domain: str) -> bool:
        """Whether the current route of calls that name `domain` depends on the calls' routing keys."""
        selector = self._selector(domain)
        if selector.alias is not None or selector.version is not None:
            return False
        return self._domains.get(selector.domain).active_canary_share > 0

    def _selector(self, domain: str) -> DomainSelector:
        selector = DomainSelector.parse(domain or self._default())
        if selector.version is not None and not self._allow_pinned_versions:
            raise InvalidInput(
                f"domain {domain!r} asks for a version: send a name or name@alias, or start the server with "
                "--allow-pinned-versions",
                field="domain",
            )
        return selector

    def _default(self) -> str:
        if not self._default_domain:
            raise InvalidInput("domain is empty, and this server has no default: name a domain", field="domain")
        return self._default_domain

    def _base(self) -> AdapterHandle:
        if self._base_adapter is None:
            raise UnknownDomain("the base has no score head of its own: name a domain", field="domain")
        return self._base_adapter

    async def _load(self, selector: DomainSelector) -> AdapterHandle:
        snapshot = self._domains.by_name.get(selector.domain)
        if snapshot is None:
            raise UnknownDomain(f"no domain {selector.domain!r} is served here", field="domain")
        version = snapshot.resolve(selector)
        try:
            return snapshot.loaded.get(version) or await self._verification.verify_for_call(selector.domain, version)
        except TRANSIENT_ERRORS:
            raise
        except LorbError as error:
            raise self._domains.get(selector.domain).not_served(selector) from error

    def _canary(self, domain: str, routing_key: str) -> AdapterHandle | None:
        """The canary, if it is loaded and this call is in the canary's share; else None."""
        share = self._domains.get(domain).active_canary_share
        if not share:
            return None
        is_chosen = is_in_share(domain, routing_key, share) if routing_key else self._draw() < share
        return self._loaded_or_started(domain, CANARY) if is_chosen else None

    def _loaded_or_started(self, domain: str, alias: str) -> AdapterHandle | None:
        """The alias's adapter; None if the alias does not exist or its adapter is not loaded.

        Starts loading an adapter that is not loaded, but does not wait: no call waits for a canary or a shadow.
        """
        snapshot = self._domains.get(domain)
        version = snapshot.aliases.get(alias)
        if version is None:
            return None
        adapter = snapshot.loaded.get(version)
        if adapter is None:
            self._verification.start(domain, version)
        return adapter


def is_in_share(domain: str, key: str, share: float) -> bool:
    """Whether calls with the routing key `key` are in the `share` (0 to 1) of the domain's calls.

    The decision depends only on the share and on a hash of domain and key. A larger share includes every key of a
    smaller share. Different domains split the same keys differently.
    """
    digest = sha256(f"{domain}\0{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * _HASH_RANGE
