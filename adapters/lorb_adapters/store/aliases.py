"""A domain's aliases: names that point at versions, and the history that makes a rollback possible."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from lorb.errors import InvalidInput, StoreUnavailable, UnknownVersion
from lorb.names import CANARY, STABLE, check_alias, check_version, is_version
from lorb_adapters.json_fields import JsonFields

MAX_CHANGES = 100  # kept for each alias, so that a busy canary does not push `stable` out of the history
_SCHEMA_VERSION = 1
_FILE = "aliases.json"


@dataclass(frozen=True, slots=True)
class Alias:
    """Where an alias points.

    Attributes:
        version: a full version id.
        share: for the canary the share of calls it takes, above 0 and at most 1; 1 for all others.
    """

    version: str
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class AliasChange:
    """One flip.

    Attributes:
        time: UTC, ISO 8601.
        alias: which one.
        from_version: where it pointed before; empty if it was new.
        to_version: where it points now; empty if it was taken away.
        is_rollback: whether it went back, so that the next rollback goes further back.
    """

    time: str
    alias: str
    from_version: str
    to_version: str
    is_rollback: bool = False

    def to_json(self) -> dict[str, object]:
        """As it stands in aliases.json."""
        change: dict[str, object] = {
            "time": self.time,
            "alias": self.alias,
            "from": self.from_version,
            "to": self.to_version,
        }
        return change | {"rollback": True} if self.is_rollback else change

    @classmethod
    def from_fields(cls, fields: JsonFields) -> "AliasChange":
        """Reads what `to_json` wrote."""
        is_rollback = "rollback" in fields and fields.flag("rollback")
        return cls(fields.text("time"), fields.text("alias"), fields.text("from"), fields.text("to"), is_rollback)


@dataclass(frozen=True, slots=True)
class Aliases:
    """The aliases of one domain.

    Attributes:
        by_name: where each points.
        history: oldest first, at most MAX_CHANGES for each alias.
        last_number: the highest version number ever given, so that a removed version's never comes back.
    """

    by_name: Mapping[str, Alias] = field(default_factory=dict)
    history: tuple[AliasChange, ...] = ()
    last_number: int = 0

    def version(self, alias: str) -> str:
        """Where `alias` points; raises UnknownVersion where there is none."""
        if alias not in self.by_name:
            there = ", ".join(sorted(self.by_name)) or "none"
            raise UnknownVersion(f"there is no alias {alias!r}; there are: {there}", field="alias")
        return self.by_name[alias].version

    def pointing_at(self, version: str) -> tuple[str, ...]:
        """The aliases of one version, sorted."""
        return tuple(sorted(name for name, alias in self.by_name.items() if alias.version == version))

    def with_alias(self, alias: str, version: str, share: float | None = None) -> "Aliases":
        """Points `alias` at `version`; raises InvalidInput where a name or the share is wrong."""
        target = Alias(check_version(version), self._share(check_alias(alias), share))
        if self.by_name.get(alias) == target:
            return self
        return self._changed(alias, target)

    def without_alias(self, alias: str) -> "Aliases":
        """Takes an alias away; raises UnknownVersion where there is none, InvalidInput for `stable`."""
        self.version(alias)
        if alias == STABLE:
            raise InvalidInput("stable cannot be taken away: point it at another version", field="alias")
        return self._changed(alias, None)

    def rolled_back(self, existing: frozenset[str]) -> "Aliases":
        """Points `stable` at the version before; raises UnknownVersion where none is left."""
        target = self.rollback_target(existing)
        if target is None:
            raise UnknownVersion("stable has no earlier version to go back to", field="version")
        return self._changed(STABLE, Alias(target), is_rollback=True)

    def rollback_target(self, existing: frozenset[str]) -> str | None:
        """The version a rollback of `stable` leads to, passing over those that no longer exist."""
        current = self.by_name[STABLE].version if STABLE in self.by_name else ""
        for version in reversed(self._stable_trail()):
            if version != current and version in existing:
                return version
        return None

    def with_number(self, number: int) -> "Aliases":
        """Notes that version number `number` has been given."""
        return replace(self, last_number=max(self.last_number, number))

    def to_json(self) -> dict[str, object]:
        """aliases.json."""
        return {
            "schema_version": _SCHEMA_VERSION,
            "last_number": self.last_number,
            "aliases": {name: _alias_json(name, alias) for name, alias in sorted(self.by_name.items())},
            "history": [change.to_json() for change in self.history],
        }

    @classmethod
    def from_json(cls, content: bytes, place: str = _FILE) -> "Aliases":
        """Reads aliases.json; raises StoreUnavailable naming `place` and the key."""
        fields = JsonFields.parse(content, place, StoreUnavailable)
        if fields.integer("schema_version") > _SCHEMA_VERSION:
            fields.fail("schema_version", f"is newer than {_SCHEMA_VERSION}: upgrade LoRB to use this store")
        by_name = {name: _alias(name, one) for name, one in fields.field_map("aliases").items()}
        history = tuple(map(AliasChange.from_fields, fields.field_list("history")))
        return cls(by_name, history, fields.integer("last_number"))

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

    def _changed(self, alias: str, target: Alias | None, *, is_rollback: bool = False) -> "Aliases":
        before = self.by_name[alias].version if alias in self.by_name else ""
        after = target.version if target else ""
        change = AliasChange(_now(), alias, before, after, is_rollback)
        by_name = {name: kept for name, kept in self.by_name.items() if name != alias}
        if target:
            by_name[alias] = target
        return replace(self, by_name=by_name, history=_bounded((*self.history, change), alias))

    def _stable_trail(self) -> list[str]:
        """The versions that led to the current one, oldest first; what was rolled back is taken off."""
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


def _bounded(history: tuple[AliasChange, ...], alias: str) -> tuple[AliasChange, ...]:
    """Drops the oldest change of `alias` where it has too many."""
    of_alias = [i for i, change in enumerate(history) if change.alias == alias]
    if len(of_alias) <= MAX_CHANGES:
        return history
    return history[: of_alias[0]] + history[of_alias[0] + 1 :]


def _alias_json(name: str, alias: Alias) -> dict[str, object]:
    return {"version": alias.version} | ({"share": alias.share} if name == CANARY else {})


def _alias(name: str, fields: JsonFields) -> Alias:
    version = fields.text("version")
    share = fields.number("share") if name == CANARY else 1.0
    fields.build(lambda: check_alias(name))
    if not is_version(version):
        fields.fail("version", f"is {version[:80]!r}, not a full version id")
    if not 0 < share <= 1:
        fields.fail("share", f"is {share}, not above 0 and at most 1")
    return Alias(version, share)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
