"""Puts the results of lists into the futures on which calls wait, and creates the errors of lists."""

import asyncio
from collections.abc import Sequence
from typing import Any

from lorb.errors import DeadlineExceeded, ModelFailed, Overloaded
from lorb_server.call import Scored
from lorb_server.engine.batch_runner import ListOutcome
from lorb_server.engine.scheduling.admission import Admission
from lorb_server.engine.scheduling.deadline_queue import Entry

Resolution = tuple[asyncio.Future[Any], Any, Exception | None]  # a future, its result, and its error or None


def list_result(entry: Entry, outcome: ListOutcome, started_at: float, now: float) -> Resolution:
    """The resolution of one list whose batch ran from `started_at` to `now`; seconds on the monotonic clock."""
    if isinstance(outcome, Exception):
        failed = ModelFailed("the model failed on the pass that held this list")
        failed.__cause__ = outcome
        return entry.future, None, failed
    return entry.future, Scored(outcome, max(0.0, started_at - entry.enqueued_at), now - started_at), None


def resolve(resolutions: Sequence[Resolution]) -> None:
    """Resolves the futures that are not cancelled. Belongs to the event loop."""
    for future, result, error in resolutions:
        if future.done():
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)


def raise_refusal(admission: Admission) -> None:
    """Raises the error of a list that is refused a place in the queue."""
    if admission is Admission.QUEUE_FULL:
        raise queue_full()
    if admission is Admission.TOO_LATE:
        raise too_late()


# Each function below creates a new error for each call, because raising an exception adds to its traceback.


def queue_full() -> Overloaded:
    """The error of a list that the queue has no room for."""
    return Overloaded("the queue is full: try again, or use the fallback policy DEGRADE")


def too_late() -> DeadlineExceeded:
    """The error of a list that cannot be scored in time."""
    return DeadlineExceeded("the list cannot be rescored in time: allow more time, or use the fallback policy DEGRADE")


def thread_died() -> ModelFailed:
    """The error of each list and task that waits when a worker ends or is stuck."""
    return ModelFailed("a worker died or is stuck: the server is shutting down")
