"""The one thread that owns the model, and the queue before it.

Calls wait on asyncio futures; the thread takes whole lists from the scheduler, scores them in one pass and
hands all results to the event loop at once. A pass that raises fails its own calls. If the thread dies, every
waiting call fails.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from lorb.errors import DeadlineExceeded, ModelFailed, Overloaded, Unavailable
from lorb_server.logs import log_failure
from lorb_server.metrics import Metrics
from lorb_server.scheduler import Batch, Entry, Scheduler
from lorb_server.scoring import Job, Scored, ScoringModel, gather, score

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Ticket:
    job: Job
    future: asyncio.Future[Scored]


@dataclass(frozen=True, slots=True, eq=False)
class _Errand:
    """A function to run on the model thread between passes."""

    function: Callable[[], Any]
    future: asyncio.Future[Any]


_Settlement = tuple[asyncio.Future[Any], Any, Exception | None]  # a future with its result or its error


class Engine:
    """Scores jobs on a thread of its own. All methods but `on_death` belong to the event loop."""

    def __init__(
        self,
        model: ScoringModel,
        scheduler: Scheduler[_Ticket],
        metrics: Metrics,
        *,
        on_death: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_death` is called on the event loop, once, if the model thread dies."""
        self._model = model
        self._scheduler = scheduler
        self._metrics = metrics
        self._on_death = on_death
        self._clock = clock
        self._errands: deque[_Errand] = deque()
        self._wake = threading.Condition()  # guards the scheduler, the errands and the two flags
        self._closing = False
        self._dead = False
        self._in_hand: list[asyncio.Future[Any]] = []  # what the model thread works on
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Starts the model thread; its results go to the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._metrics.watch_queue(self._queued_tokens, self._oldest_age_seconds)
        self._thread.start()

    async def close(self, *, timeout_seconds: float = 5.0) -> None:
        """Ends the thread after the pass it is in, or leaves it behind after the time-out; what waits fails."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join, timeout_seconds)

    def submit(self, job: Job) -> asyncio.Future[Scored]:
        """Queues a job. Cancelling the future takes it out again.

        Raises Overloaded where the queue is full. The future raises DeadlineExceeded where the job's time was
        over before its turn came, and ModelFailed where the pass or the thread failed.
        """
        future: asyncio.Future[Scored] = asyncio.get_running_loop().create_future()
        entry = Entry(_Ticket(job, future), job.num_tokens, job.answer_by, job.bulk, self._clock())
        with self._wake:
            self._check_alive()
            if not self._scheduler.offer(entry):
                raise _full()
            self._wake.notify()
        future.add_done_callback(lambda done: self._drop(entry) if done.cancelled() else None)
        return future

    def check_room(self, *, bulk: bool) -> None:
        """Raises Overloaded where the queue is full already, Unavailable where nothing is scored any more."""
        with self._wake:
            self._check_alive()
            if self._scheduler.is_full(bulk=bulk):
                raise _full()

    def run_on_model_thread(self, function: Callable[[], Result]) -> asyncio.Future[Result]:
        """Runs `function` between two passes. The future has its result or its error."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        with self._wake:
            self._check_alive()
            self._errands.append(_Errand(function, future))
            self._wake.notify()
        return future

    @property
    def alive(self) -> bool:
        """Whether the model thread runs."""
        return not self._dead

    def _check_alive(self) -> None:
        if self._dead or self._closing:
            raise Unavailable("this server is going down; try another")

    def _drop(self, entry: Entry[_Ticket]) -> None:
        with self._wake:
            left = self._scheduler.cancel(entry)
        if left:
            self._metrics.abandoned.inc()

    def _queued_tokens(self) -> float:
        with self._wake:
            return self._scheduler.queued_tokens

    def _oldest_age_seconds(self) -> float:
        with self._wake:
            return self._scheduler.oldest_age_seconds(self._clock())

    # From here on: the model thread.

    def _run(self) -> None:
        try:
            while (work := self._next_work()) is not None:
                if isinstance(work, _Errand):
                    self._run_errand(work)
                else:
                    self._run_batch(work)
        except BaseException as error:
            log_failure(_log, "the model thread died", error)
        finally:
            self._die()

    def _next_work(self) -> _Errand | Batch[_Ticket] | None:
        with self._wake:
            while True:
                if self._closing:
                    return None
                if self._errands:
                    return self._errands.popleft()
                batch = self._scheduler.take(self._clock())
                if batch.entries or batch.expired:
                    return batch
                self._wake.wait()

    def _run_errand(self, errand: _Errand) -> None:
        self._in_hand = [errand.future]
        try:
            settlement: _Settlement = (errand.future, errand.function(), None)
        except Exception as error:
            settlement = (errand.future, None, error)
        self._settle([settlement])

    def _run_batch(self, batch: Batch[_Ticket]) -> None:
        self._in_hand = [entry.payload.future for entry in batch.expired + batch.entries]
        settlements: list[_Settlement] = [(entry.payload.future, None, _too_late()) for entry in batch.expired]
        if batch.entries:
            settlements += self._score_batch(batch.entries)
        self._settle(settlements)

    def _score_batch(self, entries: Sequence[Entry[_Ticket]]) -> list[_Settlement]:
        started = self._clock()
        try:
            scores = self._score([entry.payload.job for entry in entries])
        except Exception as error:
            log_failure(_log, "a pass of the model failed", error, lists=len(entries))
            self._metrics.failed_passes.inc()
            return [(entry.payload.future, None, _failed_pass()) for entry in entries]
        infer_seconds = self._clock() - started
        return [
            (entry.payload.future, Scored(of_list, started - entry.enqueued_at, infer_seconds), None)
            for entry, of_list in zip(entries, scores, strict=True)
        ]

    def _score(self, jobs: Sequence[Job]) -> list[tuple[float, ...]]:
        work = gather(jobs)
        scores = score(self._model, work, self._scheduler.max_batch_tokens)
        self._metrics.observe_pass(
            tokens=work.num_tokens,
            lists=len(jobs),
            adapters=len(work.adapters),
            deduplicated=work.num_deduplicated,
        )
        return scores

    def _settle(self, settlements: list[_Settlement]) -> None:
        self._in_hand = []
        self._call_loop(lambda: _settle_all(settlements))

    def _die(self) -> None:
        """Fails whatever waits. Also the ordinary end, when there is nothing left that does."""
        with self._wake:
            expected = self._closing
            self._dead = True
            waiting: list[asyncio.Future[Any]] = [entry.payload.future for entry in self._scheduler.clear()]
            waiting += [errand.future for errand in self._errands]
            self._errands.clear()
        waiting += self._in_hand
        self._call_loop(lambda: _settle_all([(future, None, _death()) for future in waiting]))
        if not expected:
            self._call_loop(self._on_death)

    def _call_loop(self, function: Callable[[], None]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(function)


def _settle_all(settlements: Sequence[_Settlement]) -> None:
    for future, result, error in settlements:
        if future.done():  # cancelled meanwhile
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)


# Each call raises an error of its own: a raised exception collects the traceback of whoever raises it.


def _full() -> Overloaded:
    return Overloaded("the queue is full; try again, or accept the first-pass order (DEGRADE)")


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("the deadline passed while the list waited; allow more time, or accept DEGRADE")


def _failed_pass() -> ModelFailed:
    return ModelFailed("the model failed on the pass that held this list")


def _death() -> ModelFailed:
    return ModelFailed("the model thread died; the server is going down")
