"""Logs each change of an alias in the store: who made it, and whether this server serves it."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from lorb.names import CANARY
from lorb_server.registry.domains import Domains
from lorb_server.registry.snapshot import DomainSnapshot

STORE = "store"  # who made a change that no admin call of this server made, such as a `lorb-adapters promote`

_log = logging.getLogger(__name__)

_Target = tuple[str, float]  # full version id; the canary's share, 1 for another alias
_Aliases = tuple[Mapping[str, str], float]  # version by alias; the canary's share
_NONE: _Aliases = ({}, 0.0)


@dataclass(slots=True, eq=False)
class RequestedChange:
    """A change of an alias that an admin call makes.

    Attributes:
        caller: the operator.
        domain, alias: what changes.
        version: the new version; "" for none, None if it is not known yet.
    """

    caller: str
    domain: str
    alias: str
    version: str | None


class AliasLog:
    """The aliases as they were last logged. Belongs to the event loop."""

    def __init__(self, domains: Domains) -> None:
        self._domains = domains
        # Store aliases and canary share by domain; None before the first reading. Snapshots would keep adapters alive.
        self._logged: dict[str, _Aliases] | None = None
        self._requested: list[RequestedChange] = []  # by the admin calls in progress, the oldest first

    @contextmanager
    def made_by(self, caller: str, domain: str, alias: str, version: str | None = None) -> Iterator["RequestedChange"]:
        """A change of this alias to `version` that is logged meanwhile was made by `caller`.

        `version` is "" if the alias is removed, and None as long as the caller does not know it.
        """
        change = RequestedChange(caller, domain, alias, version)
        self._requested.append(change)
        try:
            yield change
        finally:
            self._requested.remove(change)

    def log_changes(self) -> None:
        """Logs how the store's aliases differ from those of the last call. The first call logs nothing."""
        before = self._logged
        after = {name: (each.store_aliases, each.canary_share) for name, each in self._domains.by_name.items()}
        self._logged = after
        if before is None:
            return
        for domain in {**before, **after}:
            if before.get(domain) != after.get(domain):
                old, new = _targets(*before.get(domain, _NONE)), _targets(*after.get(domain, _NONE))
                for alias in {**old, **new}:
                    if old.get(alias) != new.get(alias):
                        self._log_change(domain, alias, old.get(alias), new.get(alias))

    def _log_change(self, domain: str, alias: str, old: _Target | None, new: _Target | None) -> None:
        fields = {
            "domain": domain,
            "alias": alias,
            "from": old[0] if old else "",
            "to": new[0] if new else "",
            **({"share": new[1]} if new and alias == CANARY else {}),
            "by": self._maker(domain, alias, new[0] if new else ""),
            **_outcome(self._domains.get(domain), alias, new[0] if new else ""),
        }
        _log.info("alias changed", extra={"fields": fields})

    def _maker(self, domain: str, alias: str, version: str) -> str:
        """Who requested this change; without such a request, who requested one to a version not known yet."""
        for known in (version, None):
            for change in self._requested:
                if (change.domain, change.alias, change.version) == (domain, alias, known):
                    return change.caller
        return STORE


def _targets(versions: Mapping[str, str], canary_share: float) -> Mapping[str, _Target]:
    return {alias: (version, canary_share if alias == CANARY else 1.0) for alias, version in versions.items()}


def _outcome(snapshot: DomainSnapshot, alias: str, version: str) -> Mapping[str, str]:
    if not version:
        return {"outcome": "removed"}
    if version in snapshot.refused:
        return {"outcome": "refused", "reason": snapshot.refused[version], "serves": snapshot.aliases.get(alias, "")}
    if snapshot.aliases.get(alias) != version:
        return {"outcome": "not loaded yet", "serves": snapshot.aliases.get(alias, "")}
    return {"outcome": "served" if version in snapshot.loaded else "loaded by the first call"}
