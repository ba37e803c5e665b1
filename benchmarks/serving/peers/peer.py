"""What the offline peers have in common: they are given lists, and are timed while they score them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from workload import TaggedList


@dataclass(frozen=True, slots=True)
class Prepared:
    """Work that is ready to run.

    Attributes:
        run: what is timed; returns the score of every hypothesis, list by list, or nothing where it makes none.
        num_hypotheses, num_tokens: how much work it is.
    """

    run: Callable[[], Sequence[float]]
    num_hypotheses: int
    num_tokens: int


class Peer(Protocol):
    """One way to score lists in this process."""

    def prepare(self, lists: Sequence[TaggedList]) -> Prepared:
        """Does what is not to be timed."""
