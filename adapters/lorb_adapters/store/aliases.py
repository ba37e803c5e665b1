"""aliases.json: a domain's aliases, their history, and changes that have begun."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from msgspec import Struct

from lorb.errors import InvalidInput, LorbError, StoreUnavailable, UnknownVersion
from lorb.names import CANARY, STABLE, check_alias, check_version, is_version
from lorb_adapters.json_files import Count, Finite, from_json, read_versioned
from lorb_adapters.store.alias_history import AliasChange, bounded, last_change, stable_trail, utc_now

MAX_ALIASES = 1000  # of one domain
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


@dataclass(frozen=True, slots=True)
class Aliases:
    """The aliases of one domain.

    Attributes:
        by_name: the target of each alias.
        history: the changes, oldest first. At most MAX_CHANGES of each alias are kept.
        last_number: the highest version number ever assigned; a removed version's number is not reused.
        removing: versions whose removal has begun. If its process is killed, the next removal completes it.
    """

    by_name: Mapping[str, Alias] = field(default_factory=dict)
    history: tuple[AliasChange, ...] = ()
    last_number: int = 0
    removing: tuple[str, ...] = ()

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
            last = last_change(self.history, alias)  # an unfinished rollback is confirmed: the next one goes further
            return self.with_rollback_ended() if last is not None and last.is_unfinished else self
        if alias not in self.by_name and len(self.by_name) == MAX_ALIASES:
            raise InvalidInput(f"the domain has {MAX_ALIASES} aliases, the most it may have", field="alias")
        return self._flipped(alias, target)

    def without_alias(self, alias: str) -> "Aliases":
        """Returns aliases without `alias`; the same aliases if it was removed before.

        Raises UnknownVersion if the alias never existed, and InvalidInput if it is `stable`.
        """
        if alias == STABLE:
            raise InvalidInput("stable cannot be removed: point it at another version", field="alias")
        if alias not in self.by_name and last_change(self.history, alias) is not None:
            return self
        self.version(alias)
        return self._flipped(alias, None)

    def rolled_back(self, existing: frozenset[str]) -> "Aliases":
        """Returns aliases in which `stable` points at its previous version.

        Versions that are not in `existing` are skipped. Raises UnknownVersion if no earlier version is left.
        """
        target = self.rollback_target(existing)
        if target is None:
            raise UnknownVersion("stable has no earlier version to go back to", field="version")
        return self._flipped(STABLE, Alias(target), is_rollback=True)

    def with_rollback_begun(self, existing: frozenset[str]) -> "Aliases":
        """Returns aliases rolled back, with the rollback marked as unfinished.

        Returns the same aliases if stable's last change is an unfinished rollback. Raises as `rolled_back` does.
        """
        last = last_change(self.history, STABLE)
        if last is not None and last.is_unfinished:
            return self
        after = self.rolled_back(existing)
        begun = msgspec.structs.replace(after.history[-1], is_unfinished=True)
        return replace(after, history=(*after.history[:-1], begun))

    def with_rollback_ended(self) -> "Aliases":
        """Returns aliases in which no rollback is unfinished."""
        history = (msgspec.structs.replace(change, is_unfinished=False) for change in self.history)
        return replace(self, history=tuple(history))

    def with_removal_begun(self, versions: Iterable[str]) -> "Aliases":
        """Returns aliases whose `removing` also holds `versions`."""
        return replace(self, removing=tuple(sorted({*self.removing, *versions})))

    def with_removal_ended(self, versions: Collection[str]) -> "Aliases":
        """Returns aliases whose `removing` holds none of `versions`."""
        return replace(self, removing=tuple(each for each in self.removing if each not in versions))

    def rollback_target(self, existing: frozenset[str]) -> str | None:
        """The version that a rollback would give `stable`, or None. Skips versions that are not in `existing`."""
        current = self.by_name[STABLE].version if STABLE in self.by_name else ""
        for version in reversed(stable_trail(self.history)):
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
        } | ({"removing": list(self.removing)} if self.removing else {})

    @classmethod
    def parse(cls, content: bytes, place: str = _FILE) -> "Aliases":
        """Reads aliases.json; for invalid content raises StoreUnavailable, which names `place` and the field."""
        file = read_versioned(content, _AliasesFile, _SCHEMA_VERSIONS, place, StoreUnavailable)
        by_name = {name: _alias(name, target, place) for name, target in file.aliases.items()}
        return cls(by_name, bounded(file.history), file.last_number, file.removing)

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
        return replace(self, by_name=by_name, history=bounded((*self.history, change)))


class _AliasesFile(Struct):
    last_number: Count
    aliases: dict[str, object]
    history: tuple[AliasChange, ...]
    removing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.aliases) > MAX_ALIASES:
            raise ValueError(f"aliases has {len(self.aliases)} entries, more than {MAX_ALIASES}: remove some")
        for version in self.removing:
            if not is_version(version):
                raise ValueError(f"removing holds {version[:80]!r}, not a full version id")
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
