"""The lists, shares and tasks that wait for a worker. The event loop and the workers share it."""

import asyncio
import enum
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lorb.errors import Unavailable
from lorb_server.call import Call, Priority
from lorb_server.engine.batch import Batch, Share
from lorb_server.engine.scheduling.admission import Admission
from lorb_server.engine.scheduling.deadline_queue import Entry
from lorb_server.engine.scheduling.scheduler import Scheduler


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A function to run on a worker between batches.

    Attributes:
        function: the function.
        future: receives its result or error.
        limit_seconds: the worker counts as stuck if the function takes longer.
        worker: the number of the worker that must run it; None for any.
    """

    function: Callable[[], Any]
    future: asyncio.Future[Any]
    limit_seconds: float
    worker: int | None = None


class Stop(enum.Enum):
    """Ends a worker."""

    STOP = enum.auto()


class WorkQueue:
    """The scheduler, the shares that no worker has begun, and the tasks; all under one lock.

    Any thread may call any method.
    """

    def __init__(self, scheduler: Scheduler, clock: Callable[[], float]) -> None:
        self._scheduler = scheduler
        self._clock = clock
        self._tasks: deque[Task] = deque()
        self._shares: deque[Share] = deque()
        self._wake = threading.Condition()
        self._num_idle = 0  # workers that wait
        self._is_closing = False
        self._has_ended = False

    @property
    def has_ended(self) -> bool:
        """Whether `end` was called."""
        return self._has_ended

    def check_admission(self, call: Call, minimum_tokens: int, *, ignores_deadline: bool) -> Admission:
        """The decision on a list of `minimum_tokens` or more. Raises Unavailable if the queue is closed."""
        with self._wake:
            self._check_open()
            return self._scheduler.admit(
                call, minimum_tokens, minimum_tokens, self._clock(), ignores_deadline=ignores_deadline
            )[0]

    def offer(self, entry: Entry) -> Admission:
        """Queues a list unless it is refused. Raises Unavailable if the queue is closed."""
        with self._wake:
            self._check_open()
            admission = self._scheduler.offer(entry, entry.enqueued_at)
            self._wake.notify()
        return admission

    def add_task(self, task: Task) -> None:
        """Queues a task. Raises Unavailable if the queue is closed."""
        with self._wake:
            self._check_open()
            self._tasks.append(task)
            self._wake.notify_all()  # one worker may have to run it

    def cancel(self, entry: Entry) -> bool:
        """Takes a list out of the queue; False if it does not wait any more."""
        with self._wake:
            return self._scheduler.cancel(entry)

    def next_work(self, worker: int, *, wait: bool) -> Task | Batch | Share | Stop | None:
        """A worker's next share, task or batch. If there is none, waits if `wait` is true, and else returns None."""
        with self._wake:
            while True:
                if self._shares:
                    share = self._shares.popleft()
                    self._scheduler.forecast.begin(worker, share.tokens, self._clock())
                    return share
                if self._is_closing or self._has_ended:
                    # While a batch runs, `wait` is false: the worker collects the batch, calls again, and gets STOP.
                    return Stop.STOP if wait else None
                if (task := self._pop_task(worker)) is not None:
                    return task
                batch = self._scheduler.take(self._clock(), worker=worker, num_idle=1 + self._num_idle)
                if batch.entries or batch.too_late:
                    return batch
                if not wait:
                    return None
                self._num_idle += 1
                self._wake.wait()
                self._num_idle -= 1

    def share_out(self, shares: Sequence[Share]) -> None:
        """Hands the shares of a batch to the workers that are free first."""
        with self._wake:
            self._shares.extend(shares)
            self._wake.notify(len(shares))

    def finish(
        self, worker: int, share: Share, started: float, now: float, *, read_tokens: int, max_batch_tokens: int
    ) -> bool:
        """Records the end of a share, and the token budget of later batches. Returns whether its batch is complete."""
        with self._wake:
            self._scheduler.finish(share.batch, started, now, read_tokens=read_tokens, worker=worker)
            self._scheduler.max_batch_tokens = min(self._scheduler.max_batch_tokens, max_batch_tokens)
            share.batch.num_open -= 1
            return share.batch.num_open == 0

    def predicted_seconds(self, tokens: int) -> float:
        """The predicted duration of a pass; 0 before any pass was measured."""
        with self._wake:
            return self._scheduler.forecast.cost.seconds(tokens)

    def queued_tokens(self) -> int:
        """Tokens of the lists that wait."""
        with self._wake:
            return self._scheduler.queued_tokens

    def oldest_age_seconds(self, priority: Priority) -> float:
        """How long the longest-waiting list of a priority has waited; 0 if none waits."""
        with self._wake:
            return self._scheduler.oldest_age_seconds(priority, self._clock())

    def close(self) -> None:
        """Refuses new work, and makes the workers end after the running batches."""
        with self._wake:
            self._is_closing = True
            self._wake.notify_all()

    def end(self) -> tuple[list[asyncio.Future[Any]], bool]:
        """Refuses new work, and empties the queue.

        Returns the futures of the work that waited, and whether this is the first call and `close` was not called.
        """
        with self._wake:
            is_sudden = not (self._is_closing or self._has_ended)
            self._has_ended = True
            waiting: list[asyncio.Future[Any]] = [entry.future for entry in self._scheduler.clear()]
            waiting += [task.future for task in self._tasks]
            self._tasks.clear()
            self._shares.clear()
            self._wake.notify_all()
        return waiting, is_sudden

    def _pop_task(self, worker: int) -> Task | None:
        for task in self._tasks:
            if task.worker in (None, worker):
                self._tasks.remove(task)
                return task
        return None

    def _check_open(self) -> None:
        if self._has_ended or self._is_closing:
            raise Unavailable("this server is shutting down: try another server")
