"""A worker: a thread that scores shares of batches, with a model and buffers of its own."""

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from lorb_server.engine.batch import Batch, Share
from lorb_server.engine.batch_runner import BatchRunner
from lorb_server.engine.results import Resolution, list_result, too_late
from lorb_server.engine.workers.watchdog import UNMEASURED_LIMIT_SECONDS, Watchdog, pass_limit_seconds
from lorb_server.engine.workers.work_in_progress import WorkInProgress
from lorb_server.engine.workers.work_queue import Stop, Task, WorkQueue
from lorb_server.telemetry.logs import log_failure

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """What a worker computes with. The worker's thread calls the functions.

    Attributes:
        runner: scores shares.
        prepare: called first.
        health_check: called after a list has failed: if it raises too, the model is broken and the worker dies.
    """

    runner: BatchRunner
    prepare: Callable[[], object] = field(default=lambda: None)
    health_check: Callable[[], object] = field(default=lambda: None)


class Worker:
    """Scores on a thread of its own.

    Attributes:
        number: the worker's number, from 0.
        thread: the thread.
        watchdog: notices that the thread is stuck.
    """

    def __init__(
        self, number: int, parts: WorkerParts, queue: WorkQueue, work: WorkInProgress, clock: Callable[[], float]
    ) -> None:
        self.number = number
        self.watchdog = Watchdog(clock)
        self.thread = threading.Thread(target=self._run, name=f"model-{number}", daemon=True)
        self._parts = parts
        self._queue = queue
        self._work = work
        self._clock = clock
        self._last_end = -math.inf  # when the last share ended

    def _run(self) -> None:
        running: Share | None = None  # launched, not yet collected
        died = True
        try:
            self.watchdog.begin("prepare", UNMEASURED_LIMIT_SECONDS)
            self._parts.prepare()
            while (work := self._next_work(wait=running is None)) is not Stop.STOP:
                launched = self._launch(work) if isinstance(work, Batch | Share) else None
                if running is not None:
                    self._collect(running)
                running = launched
                if running is not None and running.is_ready:
                    self._collect(running)
                    running = None
                if isinstance(work, Task):
                    self._run_task(work)
            died = False
        except BaseException as error:
            log_failure(_log, "a worker died", error, worker=self.number)
        finally:
            self.watchdog.rest()
            self._work.worker_ended(self.number, died=died)

    def _next_work(self, *, wait: bool) -> Task | Batch | Share | Stop | None:
        self.watchdog.rest()
        return self._queue.next_work(self.number, wait=wait)

    def _launch(self, work: Batch | Share) -> Share | None:
        """Launches a share, or the first share of a batch; None if no list of the batch can be scored in time."""
        if isinstance(work, Batch):
            self._work.hold([entry.future for entry in work.too_late + work.entries])
            self._work.resolve([(entry.future, None, too_late()) for entry in work.too_late])
            if not work.entries:
                return None
            work.started_at = self._clock()
            self._work.begin(work)
            share, *others = work.shares()
            if others:
                self._queue.share_out(others)
        else:
            share = work
        share.started_at = self._clock()
        self._watch_pass("launch", share)
        self._parts.runner.launch(share)
        return share

    def _collect(self, share: Share) -> None:
        """Waits for a share's scores. If the batch is complete, resolves the futures of its lists."""
        self._watch_pass("collect", share)
        runner, batch = self._parts.runner, share.batch
        runner.collect(share)
        now = self._clock()
        started = max(share.started_at, self._last_end)
        read_tokens = 0 if batch.error is not None else share.tokens
        self._last_end = now
        if self._queue.finish(
            self.number, share, started, now, read_tokens=read_tokens, max_batch_tokens=runner.max_tokens
        ):
            self._complete(batch)

    def _complete(self, batch: Batch) -> None:
        outcomes = self._parts.runner.outcomes(batch)
        self._work.end(batch)
        now = self._clock()
        entries = zip(batch.entries, outcomes, strict=True)
        self._work.resolve([list_result(entry, outcome, batch.started_at, now) for entry, outcome in entries])
        if any(isinstance(outcome, Exception) for outcome in outcomes):
            self.watchdog.begin("health check", pass_limit_seconds(self._queue.predicted_seconds(1)))
            self._parts.health_check()  # if this raises, the model cannot score anything, and the worker dies

    def _watch_pass(self, name: str, share: Share) -> None:
        self.watchdog.begin(name, pass_limit_seconds(self._queue.predicted_seconds(share.tokens)))

    def _run_task(self, task: Task) -> None:
        self.watchdog.begin("task", task.limit_seconds)
        self._work.hold([task.future])
        try:
            resolution: Resolution = (task.future, task.function(), None)
        except Exception as error:
            resolution = (task.future, None, error)
        self._work.resolve([resolution])
