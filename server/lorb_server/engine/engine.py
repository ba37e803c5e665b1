"""Scores lists on workers, in batches that a scheduler chooses.

Calls wait on asyncio futures. A worker takes whole lists from the scheduler, or a share of lists that another worker
has taken, and resolves their futures on the event loop. On an accelerator there is one worker, which launches the next
batch while one is computed. If the model cannot score at all, or a worker dies or is stuck, every waiting call fails.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from lorb_server.call import Call, Priority, Scored
from lorb_server.engine.results import raise_refusal
from lorb_server.engine.scheduling.deadline_queue import Entry
from lorb_server.engine.scheduling.scheduler import Scheduler
from lorb_server.engine.workers.watchdog import MINIMUM_LIMIT_SECONDS
from lorb_server.engine.workers.work_in_progress import WorkInProgress
from lorb_server.engine.workers.work_queue import Task, WorkQueue
from lorb_server.engine.workers.worker import Worker, WorkerParts
from lorb_server.telemetry.metrics import Metrics

Result = TypeVar("Result")


class Engine:
    """Scores lists on workers. Its methods belong to the event loop."""

    def __init__(
        self,
        workers: Sequence[WorkerParts],
        scheduler: Scheduler,
        metrics: Metrics,
        *,
        on_death: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`scheduler` must know the number of `workers`.

        `on_death` is called on the event loop, once, if a worker dies or is stuck; a stuck worker may never return.
        """
        self._queue = WorkQueue(scheduler, clock)
        self._metrics = metrics
        self._clock = clock
        self._work = WorkInProgress(self._queue, len(workers), self._call_loop, on_death)
        self._workers = [Worker(number, parts, self._queue, self._work, clock) for number, parts in enumerate(workers)]
        self._watching: list[asyncio.Task[None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Starts the workers; their results go to the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._metrics.watch_queue(self._queue.queued_tokens, self._oldest_age_seconds)
        self._metrics.model.watch_busy_seconds(lambda: max(each.watchdog.busy_seconds for each in self._workers))
        for worker in self._workers:
            worker.thread.start()
            self._watching.append(self._loop.create_task(worker.watchdog.run(worker.thread, self._give_up)))

    async def close(self, *, timeout_seconds: float = 5.0) -> None:
        """Ends the workers after the running batches; waits at most `timeout_seconds` for the end. Queued lists fail.

        Does not wait for a stuck worker.
        """
        self._queue.close()
        for watching in self._watching:
            watching.cancel()
        end_at = time.monotonic() + timeout_seconds
        for worker in self._workers:
            if worker.thread.ident is not None and self.is_alive:
                await asyncio.to_thread(worker.thread.join, max(0.0, end_at - time.monotonic()))

    def check_admission(self, call: Call, minimum_tokens: int, *, ignores_deadline: bool = False) -> None:
        """Raises the error of `submit` if `submit` would refuse every list of `minimum_tokens` or more.

        With `ignores_deadline`, only the queue's room is checked.
        """
        raise_refusal(self._queue.check_admission(call, minimum_tokens, ignores_deadline=ignores_deadline))

    def submit(self, entry: Entry) -> asyncio.Future[Scored]:
        """Queues a list; returns the future of its scores. Cancelling the future takes the list out of the queue.

        Raises Overloaded if the queue is full, DeadlineExceeded if the list cannot be scored in time, and Unavailable
        if the engine has ended. The future's result has the scores of the first k hypotheses; k is at least
        `entry.minimum_hypotheses`. The future's error is DeadlineExceeded if the list can no longer be scored in time
        when its turn comes, and ModelFailed if the model fails on the list or the thread ends.
        """
        future = entry.future = asyncio.get_running_loop().create_future()
        entry.enqueued_at = self._clock()
        raise_refusal(self._queue.offer(entry))
        future.add_done_callback(lambda done: self._cancel(entry) if done.cancelled() else None)
        return future

    def run_on_worker(
        self,
        function: Callable[[], Result],
        *,
        limit_seconds: float = MINIMUM_LIMIT_SECONDS,
        worker: int | None = None,
    ) -> asyncio.Future[Result]:
        """Runs `function` on a worker between two batches. The future gets the function's result or error.

        The worker counts as stuck if the function takes longer than `limit_seconds`. `worker`: the worker's number; by
        default, the first that is free.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.add_task(Task(function, future, limit_seconds, worker))
        return future

    @property
    def is_alive(self) -> bool:
        """Whether no worker has ended or is stuck."""
        return not self._queue.has_ended

    def _cancel(self, entry: Entry) -> None:
        if self._queue.cancel(entry):
            self._metrics.abandoned.inc()

    def _oldest_age_seconds(self, priority: Priority) -> float:
        now = self._clock()
        running = (entry for batch in self._work.batches for entry in batch.entries)
        ages = [now - entry.enqueued_at for entry in running if entry.call.priority is priority]
        return max([self._queue.oldest_age_seconds(priority), *ages])

    def _give_up(self) -> None:
        """Ends the engine although a worker is stuck."""
        self._metrics.model.stuck.inc()
        self._work.fail()

    def _call_loop(self, function: Callable[[], None]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the event loop is closed: no caller waits any more
                self._loop.call_soon_threadsafe(function)
