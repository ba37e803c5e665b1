"""One thing that the audit found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lorb.nbest import NBest

Sets = Mapping[str, Sequence[NBest]]


class Severity(StrEnum):
    """How bad it is."""

    NOTE = "note"  # good to know
    WARNING = "warning"  # figures may mislead
    ERROR = "error"  # training would be meaningless


@dataclass(frozen=True, slots=True)
class Finding:
    """A row of the audit.

    Attributes:
        severity: an error stops the run.
        sets: which set of lists, or which two.
        what: in a few words.
        count, total: lists concerned, and lists looked at.
        example: the id of a list concerned.
        advice: what to do about it.
    """

    severity: Severity
    sets: str
    what: str
    count: int
    total: int
    example: str
    advice: str

    @property
    def message(self) -> str:
        """The row as a sentence."""
        return f"{self.sets}: {self.what}: {self.count:,} of {self.total:,}, {self.example!r} among them: {self.advice}"


def found(
    severity: Severity, sets: str, what: str, concerned: Sequence[NBest], total: int, advice: str
) -> list[Finding]:
    """The finding that `concerned` make; none where they are none."""
    if not concerned:
        return []
    return [Finding(severity, sets, what, len(concerned), total, concerned[0].id, advice)]


def folded(text: str) -> str:
    """The text without regard to case and white space."""
    return " ".join(text.casefold().split())
