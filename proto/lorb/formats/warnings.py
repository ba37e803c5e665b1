"""What readers changed on the way from a tool's file to a list, counted, for a command to say once."""

from collections import Counter


class Notices:
    """Counts of what readers normalised, took on trust or left out."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, notice: str, count: int = 1) -> None:
        """Counts `notice`, a phrase that follows a number: "scores taken out of tensor(...)"."""
        self._counts[notice] += count

    def lines(self) -> list[str]:
        """One line for each notice, in the order of their first occurrence."""
        return [f"{count:,} {notice}" for notice, count in self._counts.items() if count]
