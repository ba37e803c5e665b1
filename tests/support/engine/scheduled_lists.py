"""Schedulers, and lists to offer them, for the tests of the queue before the model."""

from itertools import accumulate

from lorb_server.call import Priority
from lorb_server.engine.deadline_queue import Entry
from lorb_server.engine.scheduler import Admission, Batch, Scheduler

ADMITTED, QUEUE_FULL, TOO_LATE = Admission.ADMITTED, Admission.QUEUE_FULL, Admission.TOO_LATE


def make_scheduler(*, batch: int = 100, queue: int = 1000, bulk_queue: int = 1000, **limits: float) -> Scheduler[str]:
    """One that knows nothing of how long passes take."""
    return Scheduler(max_batch_tokens=batch, max_queue_tokens=queue, max_bulk_queue_tokens=bulk_queue, **limits)


def timed_scheduler(fixed: float = 0.01, per_token: float = 0.001, **limits: float) -> Scheduler[str]:
    """One that has learned how long passes take: exactly so long."""
    scheduler = make_scheduler(**{"batch": 1000, "queue": 1_000_000, **limits})
    for tokens in [10, 1000, 100, 300] * 20:
        scheduler.cost.observe(tokens, fixed + per_token * tokens)
    scheduler.finish(Batch(), 0.0, 0.0, read_tokens=0)  # busy until just now
    return scheduler


def entry(
    name: str,
    tokens: int = 10,
    answer_by: float = 100.0,
    *,
    bulk: bool = False,
    at: float = 0.0,
    domain: str = "",
    lane: Priority | None = None,
) -> Entry[str]:
    """A list of one row, of a domain of its own unless told."""
    return Entry(
        name, (tokens,), answer_by, lane or (Priority.BATCH if bulk else Priority.INTERACTIVE), domain or name, 1, at
    )


def rows(name: str, *tokens: int, answer_by: float, least: int = 2, at: float = 0.0, domain: str = "") -> Entry[str]:
    """A list that may be cut."""
    return Entry(name, tuple(accumulate(tokens)), answer_by, Priority.INTERACTIVE, domain or name, least, at)


def names(entries: list[Entry[str]]) -> list[str]:
    """What they were called when they were made."""
    return [each.payload for each in entries]


def offer_all(scheduler: Scheduler[str], *entries: Entry[str]) -> None:
    """All of them must be taken in."""
    for each in entries:
        assert scheduler.offer(each, each.enqueued_at) is ADMITTED
