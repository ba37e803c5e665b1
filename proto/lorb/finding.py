"""Finding: something suspicious about lists, with its severity and advice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lorb.nbest import NBest

Sets = Mapping[str, Sequence[NBest]]


class Severity(StrEnum):
    """The severity of a finding, in ascending order."""

    NOTE = "note"  # needs no action
    WARNING = "warning"  # the figures may be misleading
    ERROR = "error"  # training or rescoring would be meaningless


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding about some lists of one set or file, or of two.

    Attributes:
        severity: how serious the finding is.
        sets: name of the set or file, or both names.
        what: what is suspicious, in a few words.
        count, total: numbers of affected lists and of examined lists.
        example: id of an affected list.
        advice: what to do about the finding.
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
        """The finding in one line."""
        return f"{self.sets}: {self.what}: {self.count:,} of {self.total:,}, such as {self.example!r}: {self.advice}"


def findings_about(
    affected: Sequence[NBest], severity: Severity, sets: str, what: str, total: int, advice: str
) -> list[Finding]:
    """Returns one finding about the `affected` lists, or no finding if there are no such lists."""
    if not affected:
        return []
    return [Finding(severity, sets, what, len(affected), total, affected[0].id, advice)]
