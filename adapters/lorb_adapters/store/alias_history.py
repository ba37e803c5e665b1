"""The changes of a domain's aliases, and the versions that led to the stable one."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from lorb.names import STABLE

MAX_CHANGES = 100  # kept for each alias separately: a busy canary must not push `stable` out of the history


class AliasChange(Struct, frozen=True, omit_defaults=True):
    """One change of an alias.

    Attributes:
        time: UTC, ISO 8601.
        alias: the alias's name.
        from_version: the version that the alias pointed at before the change; empty for a new alias.
        to_version: the version that the alias points at after the change; empty for a removed alias.
        is_rollback: whether the change was a rollback. A second rollback goes further back than the first.
        is_unfinished: whether the change is a rollback that has not ended, or whose process was killed. The next
            rollback completes it and goes no further back.
    """

    time: str
    alias: str
    from_version: str = msgspec.field(name="from")
    to_version: str = msgspec.field(name="to")
    is_rollback: bool = msgspec.field(name="rollback", default=False)
    is_unfinished: bool = msgspec.field(name="unfinished", default=False)


def last_change(history: Sequence[AliasChange], alias: str) -> AliasChange | None:
    """The newest change of an alias; None if the alias never changed."""
    return next((change for change in reversed(history) if change.alias == alias), None)


def bounded(history: Sequence[AliasChange]) -> tuple[AliasChange, ...]:
    """Returns the newest MAX_CHANGES changes of each alias, oldest first."""
    counts: dict[str, int] = {}
    kept = []
    for change in reversed(history):
        counts[change.alias] = counts.get(change.alias, 0) + 1
        if counts[change.alias] <= MAX_CHANGES:
            kept.append(change)
    return tuple(reversed(kept))


def stable_trail(history: Sequence[AliasChange]) -> list[str]:
    """The versions that led to the stable one, oldest first; a rollback removes the versions that it undid."""
    trail: list[str] = []
    for change in history:
        if change.alias != STABLE:
            continue
        if not trail and change.from_version:
            trail.append(change.from_version)
        if change.is_rollback and change.to_version in trail:
            del trail[len(trail) - trail[::-1].index(change.to_version) :]
        elif trail[-1:] != [change.to_version]:
            trail.append(change.to_version)
    return trail


def utc_now() -> str:
    """Returns the current time in UTC, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
