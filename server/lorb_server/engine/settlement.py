"""What the model thread hands back to those who wait on the event loop."""

import asyncio
from collections.abc import Sequence
from typing import Any

from lorb.errors import DeadlineExceeded, ModelFailed, Overloaded
from lorb_server.call import Scored
from lorb_server.engine.batch_runner import PassOutcome

Settlement = tuple[asyncio.Future[Any], Any, Exception | None]  # a future with its result or its error


def settlement(
    future: asyncio.Future[Scored], enqueued_at: float, outcome: PassOutcome, started: float, now: float
) -> Settlement:
    """What one list's future is told of the pass that ran from `started` to `now`; seconds."""
    if isinstance(outcome, Exception):
        return future, None, ModelFailed("the model failed on the pass that held this list")
    return future, Scored(outcome, max(0.0, started - enqueued_at), now - started), None


def settle_all(settlements: Sequence[Settlement]) -> None:
    """Tells those that still wait. Belongs to the event loop."""
    for future, result, error in settlements:
        if future.done():  # cancelled meanwhile
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)


# Each call raises an error of its own: a raised exception collects the traceback of whoever raises it.


def queue_full() -> Overloaded:
    """Why a list is not taken."""
    return Overloaded("the queue is full; try again, or accept the first-pass order (DEGRADE)")


def too_late() -> DeadlineExceeded:
    """Why a list is not scored."""
    return DeadlineExceeded("the list cannot be rescored by its deadline; allow more time, or accept DEGRADE")


def death() -> ModelFailed:
    """Why nothing is scored any more."""
    return ModelFailed("the model thread died; the server is going down")
