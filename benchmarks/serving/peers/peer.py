"""The interface of offline systems, which are timed while they score lists."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from workload import TaggedList


@dataclass(frozen=True, slots=True)
class Prepared:
    """Work that is ready to run.

    Attributes:
        run: the timed function; returns the scores of all hypotheses, or nothing if it computes none.
        num_hypotheses, num_tokens: the amount of work.
    """

    run: Callable[[], Sequence[float]]
    num_hypotheses: int
    num_tokens: int


class Peer(Protocol):
    """A way to score lists in this process."""

    def prepare(self, lists: Sequence[TaggedList]) -> Prepared:
        """Does the work that is not timed."""
