"""Measures the memory of this process."""

from dataclasses import dataclass
from pathlib import Path

from study.training.memory import give_back_freed_pages

_SMAPS = Path("/proc/self/smaps_rollup")


@dataclass(frozen=True, slots=True)
class Resident:
    """Memory of a process, in bytes.

    Attributes:
        rss: resident pages.
        pss: resident pages, shared ones divided by the number of mappings.
        anonymous: resident pages of allocations, without those of files.
    """

    rss: int
    pss: int
    anonymous: int

    @classmethod
    def parse(cls, smaps: str) -> "Resident":
        """Parses the text of an smaps_rollup file. Raises KeyError if a field is missing."""
        fields = {}
        for line in smaps.splitlines()[1:]:
            name, _, value = line.partition(":")
            fields[name] = int(value.split()[0]) * 1024
        return cls(fields["Rss"], fields["Pss"], fields["Anonymous"])

    @classmethod
    def now(cls) -> "Resident":
        """Returns freed pages to the kernel, then measures this process."""
        give_back_freed_pages()
        return cls.parse(_SMAPS.read_text(encoding="ascii"))

    def __sub__(self, other: "Resident") -> "Resident":
        return Resident(self.rss - other.rss, self.pss - other.pss, self.anonymous - other.anonymous)
