"""aliases.json: a domain's aliases, their changes, and the history that a rollback follows."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from lorb.errors import InvalidInput, LorbError, StoreUnavailable, UnknownVersion
from lorb.names import CANARY, STABLE, check_alias, check_version, is_version
from lorb_adapters.json_files import Count, Finite, from_json, read_versioned

MAX_CHANGES = 100  # kept for each alias separately: a busy canary must not push `stable` out of the history
_SCHEMA_VERSIONS = range(2)
_FILE = "aliases.json"


@dataclass(frozen=True, slots=True)
class Alias:
    """The target of an alias.

    Attributes:
        version: a full version id.
        share: the canary's share of calls, above 0 and at most 1; 1 for every other alias.
    """

    version: str
    share: float = 1.0


class AliasChange(Struct, frozen=True, omit_defaults=True):
    """One change of an alias.

    Attributes:
        time: UTC, ISO 8601.
        alias: the alias's name.
        from_version: the version that the alias pointed at before the change; empty for a new alias.
        to_version: the version that the alias points at after the change; empty for a removed alias.
        is_rollback: whether the change was a rollback. A second rollback goes further back than the first.
    """

    time: str
    alias: str
    from_version: str = msgspec.field(name="from")
    to_version: str = msgspec.field(name="to")
    is_rollback: bool = msgspec.field(name="rollback", default=False)


@dataclass(frozen=True, slots=True)
class Aliases:
    """The aliases of one domain.

    Attributes:
        by_name: the target of each alias.
        history: the changes, oldest first. At most MAX_CHANGES of each alias are kept.
        last_number: the highest version number ever assigned; a removed version's number is not reused.
    """

    by_name: Mapping[str, Alias] = field(default_factory=dict)
    history: tuple[AliasChange, ...] = ()
    last_number: int = 0

    def version(self, alias: str) -> str:
        """The version that `alias` points at; raises UnknownVersion if there is no such alias."""
        if alias not in self.by_name:
            existing = ", ".join(sorted(self.by_name)) or "none"
            raise UnknownVersion(f"there is no alias {alias!r}; the aliases are: {existing}", field="alias")
        return self.by_name[alias].version

    def pointing_at(self, version: str) -> tuple[str, ...]:
        """The aliases of one version, sorted."""
        return tuple(sorted(name for name, alias in self.by_name.items() if alias.version == version))

    def with_alias(self, alias: str, version: str, share: float | None = None) -> "Aliases":
        """Returns aliases in which `alias` points at `version`; raises InvalidInput if an argument is wrong."""
        target = Alias(check_version(version), self._share(check_alias(alias), share))
        if self.by_name.get(alias) == target:
            return self
        return self._flipped(alias, target)

    def without_alias(self, alias: str) -> "Aliases":
        """Returns aliases without `alias`.

        Raises UnknownVersion if the alias does not exist, and InvalidInput if it is `stable`.
        """
        self.version(alias)
        if alias == STABLE:
            raise InvalidInput("stable cannot be removed: point it at another version", field="alias")
        return self._flipped(alias, None)

    def rolled_back(self, existing: frozenset[str]) -> "Aliases":
        """Returns aliases in which `stable` points at its previous version.

        Versions that are not in `existing` are skipped. Raises UnknownVersion if no earlier version is left.
        """
        target = self.rollback_target(existing)
        if target is None:
            raise UnknownVersion("stable has no earlier version to go back to", field="version")
        return self._flipped(STABLE, Alias(target), is_rollback=True)

    def rollback_target(self, existing: frozenset[str]) -> str | None:
        """The version that a rollback would give `stable`, or None. Skips versions that are not in `existing`."""
        current = self.by_name[STABLE].version if STABLE in self.by_name else ""
        for version in reversed(self._stable_trail()):
            if version != current and version in existing:
                return version
        return None

    def with_number(self, number: int) -> "Aliases":
        """Returns aliases in which `last_number` is at least `number`."""
        return replace(self, last_number=max(self.last_number, number))

    def to_json(self) -> dict[str, Any]:
        """The fields of aliases.json."""
        return {
            "schema_version": _SCHEMA_VERSIONS[-1],
            "last_number": self.last_number,
            "aliases": {name: _alias_json(name, alias) for name, alias in sorted(self.by_name.items())},
            "history": [msgspec.to_builtins(change) for change in self.history],
        }

    @classmethod
    def parse(cls, content: bytes, place: str = _FILE) -> "Aliases":
        """Reads aliases.json; for invalid content raises StoreUnavailable, which names `place` and the field."""
        file = read_versioned(content, _AliasesFile, _SCHEMA_VERSIONS, place, StoreUnavailable)
        by_name = {name: _alias(name, target, place) for name, target in file.aliases.items()}
        return cls(by_name, file.history, file.last_number)

    def _share(self, alias: str, share: float | None) -> float:
        if alias != CANARY:
            if share not in (None, 1.0):
                raise InvalidInput(f"share is {share}: only the canary takes a share of calls", field="share")
            return 1.0
        if share is None and CANARY in self.by_name:
            return self.by_name[CANARY].share
        if share is None or not 0 < share <= 1:
            raise InvalidInput(
                f"share is {share}: a canary takes a share of calls above 0 and at most 1", field="share"
            )
        return share

    def _flipped(self, alias: str, target: Alias | None, *, is_rollback: bool = False) -> "Aliases":
        before = self.by_name[alias].version if alias in self.by_name else ""
        after = target.version if target else ""
        change = AliasChange(utc_now(), alias, before, after, is_rollback)
        by_name = {name: other for name, other in self.by_name.items() if name != alias}
        if target:
            by_name[alias] = target
        return replace(self, by_name=by_name, history=_bounded((*self.history, change), alias))

    def _stable_trail(self) -> list[str]:
        """The versions that led to the current one, oldest first; a rollback removes the versions that it undid."""
        trail: list[str] = []
        for change in self.history:
            if change.alias != STABLE:
                continue
            if not trail and change.from_version:
                trail.append(change.from_version)
            if change.is_rollback and change.to_version in trail:
                del trail[len(trail) - trail[::-1].index(change.to_version) :]
            elif trail[-1:] != [change.to_version]:
                trail.append(change.to_version)
        return trail


class _AliasesFile(Struct):
    last_number: Count
    aliases: dict[str, object]
    history: tuple[AliasChange, ...]

    def __post_init__(self) -> None:
        for name in self.aliases:
            try:
                check_alias(name)
            except LorbError as problem:
                raise ValueError(f"aliases.{name[:80]} is not a valid alias: {problem}") from problem


class _Target(Struct):
    version: str

    def __post_init__(self) -> None:
        if not is_version(self.version):
            raise ValueError(f"version is {self.version[:80]!r}, not a full version id")


class _CanaryTarget(_Target):
    share: Finite

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share <= 1:
            raise ValueError(f"share is {self.share}, not above 0 and at most 1")


def _alias(name: str, value: object, place: str) -> Alias:
    path = f"aliases.{name}"
    if name == CANARY:
        canary = from_json(value, _CanaryTarget, place, StoreUnavailable, path)
        return Alias(canary.version, canary.share)
    return Alias(from_json(value, _Target, place, StoreUnavailable, path).version)


def _alias_json(name: str, alias: Alias) -> dict[str, object]:
    return {"version": alias.version} | ({"share": alias.share} if name == CANARY else {})


def _bounded(history: tuple[AliasChange, ...], alias: str) -> tuple[AliasChange, ...]:
    """Returns the history; if `alias` has more than MAX_CHANGES changes, the oldest of them is left out."""
    of_alias = [i for i, change in enumerate(history) if change.alias == alias]
    if len(of_alias) <= MAX_CHANGES:
        return history
    return history[: of_alias[0]] + history[of_alias[0] + 1 :]


def utc_now() -> str:
    """Returns the current time in UTC, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
