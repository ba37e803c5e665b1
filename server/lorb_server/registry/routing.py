"""What a call is admitted through: in the process of the registry, or behind a socket."""

from collections.abc import Sequence
from typing import Protocol

from lorb_server.adapter import AdapterHandle, Route


class Routing(Protocol):
    """Decides which adapter answers: a Registry, or `lorb_server.fronts.engine_link.EngineLink`."""

    async def route(self, domain: str, routing_key: str) -> Route:
        """Which adapters a call for `domain` has to do with; raises InvalidInput, UnknownDomain or UnknownVersion."""

    def withdraw_canary(self, adapter: AdapterHandle, reason: str) -> None:
        """Gives this canary no more calls."""

    def served_domains(self) -> Sequence[str]:
        """The domains that can be asked for, sorted."""
