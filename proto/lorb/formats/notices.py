"""Notices: counts of what readers changed, assumed or left out."""

from collections import Counter


class Notices:
    """Counts what readers normalised, assumed or left out, so that a command can print each notice once."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, notice: str, count: int = 1) -> None:
        """Adds `count` to the count of `notice`, a phrase to print after a number: "scores parsed from tensor(...)"."""
        self._counts[notice] += count

    def lines(self) -> list[str]:
        """Returns one line "count notice" for each notice, in the order in which they first occurred."""
        return [f"{count:,} {notice}" for notice, count in self._counts.items() if count]
