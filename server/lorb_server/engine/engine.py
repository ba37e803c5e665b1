"""Scores lists on the model thread, in batches that a scheduler chooses.

Calls wait on asyncio futures. The thread takes whole lists from the scheduler, scores them as one batch and resolves
their futures on the event loop. On an accelerator, the next batch is launched while one is computed.
If the model cannot score at all, or the thread dies or is stuck, every waiting call fails.
"""

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from lorb_server.call import Call, Priority, Scored
from lorb_server.engine.batch import Batch
from lorb_server.engine.batch_runner import BatchRunner
from lorb_server.engine.results import Resolution, list_result, raise_refusal, resolve, thread_died, too_late
from lorb_server.engine.scheduling.deadline_queue import Entry
from lorb_server.engine.scheduling.scheduler import Scheduler
from lorb_server.engine.watchdog import (
    MINIMUM_LIMIT_SECONDS,
    UNMEASURED_LIMIT_SECONDS,
    Watchdog,
    pass_limit_seconds,
)
from lorb_server.engine.work_queue import Stop, Task, WorkQueue
from lorb_server.telemetry.logs import log_failure
from lorb_server.telemetry.metrics import Metrics

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


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
        broken and the thread dies. `on_death` is called on the event loop, once, if the thread dies or is stuck; a
        stuck thread may never return.
        """
        self._runner = runner
        self._queue = WorkQueue(scheduler, clock)
        self._metrics = metrics
        self._prepare = prepare
        self._health_check = health_check
        self._on_death = on_death
        self._clock = clock
        self._last_end = -math.inf  # when the last batch ended
        self._in_progress: list[asyncio.Future[Any]] = []  # taken by the thread, not yet resolved
        self._running: list[Batch] = []  # launched, not yet collected
        self._watchdog = Watchdog(clock)
        self._watching: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Starts the model thread; its results go to the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._metrics.watch_queue(self._queue.queued_tokens, self._oldest_age_seconds)
        self._metrics.model.watch_busy_seconds(lambda: self._watchdog.busy_seconds)
        self._thread.start()
        self._watching = self._loop.create_task(self._watchdog.run(self._thread, self._give_up))

    async def close(self, *, timeout_seconds: float = 5.0) -> None:
        """Ends the thread after the running batch; waits at most `timeout_seconds` for the end. Queued lists fail.

        Does not wait for a stuck thread.
        """
        self._queue.close()
        if self._watching is not None:
            self._watching.cancel()
        if self._thread.ident is not None and self.is_alive:
            await asyncio.to_thread(self._thread.join, timeout_seconds)

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

    def run_on_model_thread(
        self, function: Callable[[], Result], *, limit_seconds: float = MINIMUM_LIMIT_SECONDS
    ) -> asyncio.Future[Result]:
        """Runs `function` between two batches. The future gets the function's result or error.

        The thread counts as stuck if the function takes longer than `limit_seconds`.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.add_task(Task(function, future, limit_seconds))
        return future

    @property
    def is_alive(self) -> bool:
        """Whether the model thread has not ended and is not stuck."""
        return not self._queue.has_ended

    def _cancel(self, entry: Entry) -> None:
        if self._queue.cancel(entry):
            self._metrics.abandoned.inc()

    def _oldest_age_seconds(self, priority: Priority) -> float:
        now = self._clock()
        running = (entry for batch in list(self._running) for entry in batch.entries)
        ages = [now - entry.enqueued_at for entry in running if entry.call.priority is priority]
        return max([self._queue.oldest_age_seconds(priority), *ages])

    def _give_up(self) -> None:
        """Ends the engine although its thread is stuck."""
        self._metrics.model.stuck.inc()
        self._end()

    # The methods below run on the model thread.

    def _run(self) -> None:
        running: Batch | None = None  # launched, not yet collected
        try:
            self._watchdog.begin("prepare", UNMEASURED_LIMIT_SECONDS)
            self._prepare()
            while (work := self._next_work(wait=running is None)) is not Stop.STOP:
                if isinstance(work, Batch):
                    self._launch(work)
                if running is not None:
                    self._collect(running)
                running = work if isinstance(work, Batch) else None
                if running is not None and running.is_ready:
                    self._collect(running)
                    running = None
                if isinstance(work, Task):
                    self._run_task(work)
        except BaseException as error:
            log_failure(_log, "the model thread died", error)
        finally:
            self._watchdog.rest()
            self._end()

    def _next_work(self, *, wait: bool) -> Task | Batch | Stop | None:
        self._watchdog.rest()
        return self._queue.next_work(wait=wait)

    def _launch(self, batch: Batch) -> None:
        self._in_progress += [entry.future for entry in batch.too_late + batch.entries]
        self._resolve([(entry.future, None, too_late()) for entry in batch.too_late])
        batch.started_at = self._clock()
        self._running.append(batch)
        self._watch_pass("launch", batch)
        self._runner.launch(batch)

    def _collect(self, batch: Batch) -> None:
        """Waits for a batch's scores and resolves the futures of its lists."""
        self._watch_pass("collect", batch)
        outcomes = self._runner.collect(batch)
        self._running.remove(batch)
        has_failed = any(isinstance(outcome, Exception) for outcome in outcomes)
        now = self._clock()
        started = max(batch.started_at, self._last_end)
        read_tokens = 0 if has_failed else batch.read_tokens
        self._queue.finish(batch, started, now, read_tokens=read_tokens, max_batch_tokens=self._runner.max_tokens)
        self._last_end = now
        entries = zip(batch.entries, outcomes, strict=True)
        self._resolve([list_result(entry, outcome, batch.started_at, now) for entry, outcome in entries])
        if has_failed:
            self._watchdog.begin("health check", pass_limit_seconds(self._queue.predicted_seconds(1)))
            self._health_check()  # if this raises, the model cannot score anything, and the thread dies

    def _watch_pass(self, name: str, batch: Batch) -> None:
        self._watchdog.begin(name, pass_limit_seconds(self._queue.predicted_seconds(batch.tokens)))

    def _run_task(self, task: Task) -> None:
        self._watchdog.begin("task", task.limit_seconds)
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
        waiting, is_sudden = self._queue.end()
        waiting += list(self._in_progress)
        self._call_loop(lambda: resolve([(future, None, thread_died()) for future in waiting]))
        if is_sudden:
            self._call_loop(self._on_death)

    def _call_loop(self, function: Callable[[], None]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the event loop is closed: no caller waits any more
                self._loop.call_soon_threadsafe(function)
