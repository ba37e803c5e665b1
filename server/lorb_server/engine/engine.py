"""Scores lists on the model thread, in batches that a scheduler chooses.

Calls wait on asyncio futures. The thread takes whole lists from the scheduler, scores them as one batch and resolves
their futures on the event loop. On an accelerator, the next batch is launched while one is computed.
If the model cannot score at all, or the thread dies, every waiting call fails.
"""

import asyncio
import contextlib
import enum
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from lorb.errors import Unavailable
from lorb_server.call import Call, Priority, Scored
from lorb_server.engine.batch import Batch
from lorb_server.engine.batch_runner import BatchRunner
from lorb_server.engine.results import Resolution, list_result, queue_full, resolve, thread_died, too_late
from lorb_server.engine.scheduling.deadline_queue import Entry
from lorb_server.engine.scheduling.scheduler import Admission, Scheduler
from lorb_server.telemetry.logs import log_failure
from lorb_server.telemetry.metrics import Metrics

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Task:  # run on the model thread between batches
    function: Callable[[], Any]
    future: asyncio.Future[Any]


class _Stop(enum.Enum):  # ends the model thread
    STOP = enum.auto()


class Engine:
    """Scores lists on a thread of its own. Its methods belong to the event loop."""

    def __init__(
        self,
        runner: BatchRunner,
        scheduler: Scheduler,
        metrics: Metrics,
        *,
        prepare: Callable[[], object] = lambda: None,
        health_check: Callable[[], object] = lambda: None,
        on_death: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """The model thread calls `prepare` first.

        `health_check` runs on the model thread after a list has failed: if `health_check` raises too, the model is
        broken and the thread dies. `on_death` is called on the event loop, once, if the thread dies.
        """
        self._runner = runner
        self._scheduler = scheduler
        self._metrics = metrics
        self._prepare = prepare
        self._health_check = health_check
        self._on_death = on_death
        self._clock = clock
        self._tasks: deque[_Task] = deque()
        self._wake = threading.Condition()  # guards the scheduler, `_tasks`, `_is_closing` and `_is_dead`
        self._is_closing = False
        self._is_dead = False
        self._last_end = -math.inf  # when the last batch ended
        self._in_progress: list[asyncio.Future[Any]] = []  # taken by the thread, not yet resolved
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Starts the model thread; its results go to the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._metrics.watch_queue(self._queued_tokens, self._oldest_age_seconds)
        self._thread.start()

    async def close(self, *, timeout_seconds: float = 5.0) -> None:
        """Ends the thread after the running batch; waits at most `timeout_seconds` for the end. Queued lists fail."""
        with self._wake:
            self._is_closing = True
            self._wake.notify()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join, timeout_seconds)

    def check_admission(self, call: Call, minimum_tokens: int, *, ignores_deadline: bool = False) -> None:
        """Raises the error of `submit` if `submit` would refuse every list of `minimum_tokens` or more.

        With `ignores_deadline`, only the queue's room is checked.
        """
        with self._wake:
            self._check_alive()
            admission, _ = self._scheduler.admit(
                call, minimum_tokens, minimum_tokens, self._clock(), ignores_deadline=ignores_deadline
            )
        _raise_refusal(admission)

    def submit(self, entry: Entry) -> asyncio.Future[Scored]:
        """Queues a list; returns the future of its scores. Cancelling the future takes the list out of the queue.

        Raises Overloaded if the queue is full, DeadlineExceeded if the list cannot be scored in time, and Unavailable
        if the engine has ended. The future's result has the scores of the first k hypotheses; k is at least
        `entry.minimum_hypotheses`. The future's error is DeadlineExceeded if the list can no longer be scored in time
        when its turn comes, and ModelFailed if the model fails on the list or the thread ends.
        """
        future = entry.future = asyncio.get_running_loop().create_future()
        entry.enqueued_at = self._clock()
        with self._wake:
            self._check_alive()
            admission = self._scheduler.offer(entry, entry.enqueued_at)
            self._wake.notify()
        _raise_refusal(admission)
        future.add_done_callback(lambda done: self._cancel(entry) if done.cancelled() else None)
        return future

    def run_on_model_thread(self, function: Callable[[], Result]) -> asyncio.Future[Result]:
        """Runs `function` between two batches. The future gets the function's result or error."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        with self._wake:
            self._check_alive()
            self._tasks.append(_Task(function, future))
            self._wake.notify()
        return future

    @property
    def is_alive(self) -> bool:
        """Whether the model thread has not ended."""
        return not self._is_dead

    def _check_alive(self) -> None:
        if self._is_dead or self._is_closing:
            raise Unavailable("this server is shutting down: try another server")

    def _cancel(self, entry: Entry) -> None:
        with self._wake:
            was_waiting = self._scheduler.cancel(entry)
        if was_waiting:
            self._metrics.abandoned.inc()

    def _queued_tokens(self) -> float:
        with self._wake:
            return self._scheduler.queued_tokens

    def _oldest_age_seconds(self, priority: Priority) -> float:
        with self._wake:
            return self._scheduler.oldest_age_seconds(priority, self._clock())

    # The methods below run on the model thread.

    def _run(self) -> None:
        running: Batch | None = None  # launched, not yet collected
        try:
            self._prepare()
            while (work := self._next_work(wait=running is None)) is not _Stop.STOP:
                if isinstance(work, Batch):
                    self._launch(work)
                if running is not None:
                    self._collect(running)
                running = work if isinstance(work, Batch) else None
                if running is not None and running.is_ready:
                    self._collect(running)
                    running = None
                if isinstance(work, _Task):
                    self._run_task(work)
        except BaseException as error:
            log_failure(_log, "the model thread died", error)
        finally:
            self._end()

    def _next_work(self, *, wait: bool) -> _Task | Batch | _Stop | None:
        """The next task or batch. If there is none, waits for one if `wait` is true, and otherwise returns None."""
        with self._wake:
            while not self._is_closing:
                if self._tasks:
                    return self._tasks.popleft()
                batch = self._scheduler.take(self._clock())
                if batch.entries or batch.too_late:
                    return batch
                if not wait:
                    return None
                self._wake.wait()
            # While a batch runs, `wait` is false: the thread collects the batch, calls again, and gets STOP.
            return _Stop.STOP if wait else None

    def _launch(self, batch: Batch) -> None:
        self._in_progress += [entry.future for entry in batch.too_late + batch.entries]
        self._resolve([(entry.future, None, too_late()) for entry in batch.too_late])
        batch.started_at = self._clock()
        self._runner.launch(batch)

    def _collect(self, batch: Batch) -> None:
        """Waits for a batch's scores and resolves the futures of its lists."""
        outcomes = self._runner.collect(batch)
        has_failed = any(isinstance(outcome, Exception) for outcome in outcomes)
        now = self._clock()
        with self._wake:
            started = max(batch.started_at, self._last_end)
            self._scheduler.finish(batch, started, now, read_tokens=0 if has_failed else batch.read_tokens)
            self._scheduler.max_batch_tokens = self._runner.max_tokens
        self._last_end = now
        entries = zip(batch.entries, outcomes, strict=True)
        self._resolve([list_result(entry, outcome, batch.started_at, now) for entry, outcome in entries])
        if has_failed:
            self._health_check()  # if this raises, the model cannot score anything, and the thread dies

    def _run_task(self, task: _Task) -> None:
        self._in_progress.append(task.future)
        try:
            resolution: Resolution = (task.future, task.function(), None)
        except Exception as error:
            resolution = (task.future, None, error)
        self._resolve([resolution])

    def _resolve(self, resolutions: Sequence[Resolution]) -> None:
        resolved = {id(future) for future, _, _ in resolutions}
        self._in_progress = [future for future in self._in_progress if id(future) not in resolved]
        self._call_loop(lambda: resolve(resolutions))

    def _end(self) -> None:
        """Fails all waiting lists and tasks, and calls `on_death` unless `close` ended the thread."""
        with self._wake:
            is_expected = self._is_closing
            self._is_dead = True
            waiting: list[asyncio.Future[Any]] = [entry.future for entry in self._scheduler.clear()]
            waiting += [task.future for task in self._tasks]
            self._tasks.clear()
        waiting += self._in_progress
        self._call_loop(lambda: resolve([(future, None, thread_died()) for future in waiting]))
        if not is_expected:
            self._call_loop(self._on_death)

    def _call_loop(self, function: Callable[[], None]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the event loop is closed: no caller waits any more
                self._loop.call_soon_threadsafe(function)


def _raise_refusal(admission: Admission) -> None:
    if admission is Admission.QUEUE_FULL:
        raise queue_full()
    if admission is Admission.TOO_LATE:
        raise too_late()
