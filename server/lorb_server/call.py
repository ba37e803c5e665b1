"""One list to score, what comes of it, and what it is scored through. Needs no torch: a front process has none."""

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lorb_adapters.text import EncodedHypothesis
from lorb_server.adapter import AdapterHandle

MINIMUM_PARTIAL_HYPOTHESES = 2  # one hypothesis alone cannot be re-ranked


class Priority(enum.Enum):
    """Who waits for a list, and so whom it yields to."""

    INTERACTIVE = "single"  # a Rescore call
    BATCH = "bulk"  # one list of a BatchRescore
    IDLE = "idle"  # a comparison nobody waits for: only when nothing else is there to do


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One list to score.

    Attributes:
        rows: its distinct texts, in first-pass order.
        adapter: pinned when the call was admitted.
        answer_by: when its answer must be ready; seconds on the monotonic clock.
        lane: who waits for it.
        may_be_partial: whether the first rows alone are better than none.
    """

    rows: Sequence[EncodedHypothesis]
    adapter: AdapterHandle
    answer_by: float
    lane: Priority = Priority.INTERACTIVE
    may_be_partial: bool = False


@dataclass(frozen=True, slots=True)
class Scored:
    """A job's result.

    Attributes:
        scores: rescoring scores of the first k rows; all of them unless the job may be partial.
        queue_seconds: waiting for a pass.
        infer_seconds: in the pass, shared with the other lists in it.
        num_cached: how many of `scores` the model did not have to make.
    """

    scores: tuple[float, ...]
    queue_seconds: float
    infer_seconds: float
    num_cached: int = 0


class Scoring(Protocol):
    """What a list is scored through: in this process, or behind a socket."""

    def check_room(self, domain: str, lane: Priority, *, minimum_tokens: int = 1, answer_by: float = math.inf) -> None:
        """Raises, before work is spent on it, what `score` would for a list that is known to be turned away.

        `minimum_tokens` is the fewest that it can have and be worth scoring, `answer_by` as in Job.
        """

    async def score(self, job: Job) -> Scored:
        """Scores a list. Cancelling the task takes it out of the queue.

        Raises Overloaded, DeadlineExceeded or ModelFailed, or why the adapter could not be brought back.
        """
