"""The one thread that owns the model, and the queue before it.

Calls wait on asyncio futures; the thread takes whole lists from the scheduler, scores them in one pass and
hands all results to the event loop at once. Where a device works by itself, the next pass is prepared and
launched while one runs. A pass that raises is done again in halves until the list that it
raises for is alone, and only that one fails. If the model cannot score anything any more, or the thread dies,
every waiting call fails.
"""

import asyncio
import contextlib
import enum
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from lorb.errors import Unavailable
from lorb_server.call import Priority, Scored
from lorb_server.engine.batch import Request, Share
from lorb_server.engine.batch_runner import BatchRunner, Launched
from lorb_server.engine.deadline_queue import Entry
from lorb_server.engine.scheduler import Admission, Batch, Scheduler
from lorb_server.engine.settlement import Settlement, death, queue_full, settle_all, settlement, too_late
from lorb_server.telemetry.logs import log_failure
from lorb_server.telemetry.metrics import Metrics

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Ticket:
    request: Request
    future: asyncio.Future[Scored]


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """A function to run on the model thread between passes."""

    function: Callable[[], Any]
    future: asyncio.Future[Any]


@dataclass(frozen=True, slots=True, eq=False)
class _Flight:
    """A pass between its launch and its scores."""

    batch: Batch[_Ticket]
    started: float
    launched: Launched


class _End(enum.Enum):
    """What the model thread is told at the end."""

    END = enum.auto()


class Engine:
    """Scores requests on a thread of its own. All methods but `on_death` belong to the event loop."""

    def __init__(
        self,
        passes: BatchRunner,
        scheduler: Scheduler[_Ticket],
        metrics: Metrics,
        *,
        prepare: Callable[[], object] = lambda: None,
        probe: Callable[[], object] = lambda: None,
        on_death: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_death` is called on the event loop, once, if the model thread dies.

        `prepare` runs first on the model thread.
        `probe` runs on that thread after a list has failed alone: if it raises too, the fault is not the list's.
        """
        self._passes = passes
        self._scheduler = scheduler
        self._metrics = metrics
        self._prepare = prepare
        self._probe = probe
        self._on_death = on_death
        self._clock = clock
        self._errands: deque[_Task] = deque()
        self._wake = threading.Condition()  # guards the scheduler, the errands and the two flags
        self._closing = False
        self._dead = False
        self._last_landing = -math.inf
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

    def submit(self, request: Request) -> asyncio.Future[Scored]:
        """Queues a request. Cancelling the future takes it out again.

        Raises Overloaded where the queue is full and DeadlineExceeded where it cannot be ready in time. The future
        raises DeadlineExceeded where that came out when its turn came, and ModelFailed where the pass or the
        thread failed. It holds the scores of the first k rows, `minimum_rows` or more.
        """
        future: asyncio.Future[Scored] = asyncio.get_running_loop().create_future()
        now = self._clock()
        entry = _entry(request, future, now)
        with self._wake:
            self._check_alive()
            admission = self._scheduler.offer(entry, now)
            self._wake.notify()
        _check_admitted(admission)
        future.add_done_callback(lambda done: self._drop(entry) if done.cancelled() else None)
        return future

    def check_room(self, domain: str, lane: Priority, *, minimum_tokens: int = 1, answer_by: float = math.inf) -> None:
        """Raises what `submit` would for any list of a domain that has so many tokens or more."""
        with self._wake:
            self._check_alive()
            admission = self._scheduler.can_admit(domain, lane, minimum_tokens, answer_by, self._clock())
        _check_admitted(admission)

    def run_on_model_thread(self, function: Callable[[], Result]) -> asyncio.Future[Result]:
        """Runs `function` between two passes. The future has its result or its error."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        with self._wake:
            self._check_alive()
            self._errands.append(_Task(function, future))
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

    def _oldest_age_seconds(self, lane: Priority) -> float:
        with self._wake:
            return self._scheduler.oldest_age_seconds(lane, self._clock())

    # From here on: the model thread.

    def _run(self) -> None:
        flight: _Flight | None = None  # the pass that the device is at
        try:
            self._prepare()
            while (work := self._next_work(wait=flight is None)) is not _End.END:
                launched = self._launch(work) if isinstance(work, Batch) else None
                if flight is not None:
                    self._land(flight)
                flight = launched
                if flight is not None and flight.launched.is_ready:
                    self._land(flight)
                    flight = None
                if isinstance(work, _Task):
                    self._run_errand(work)
        except BaseException as error:
            log_failure(_log, "the model thread died", error)
        finally:
            self._die()

    def _next_work(self, *, wait: bool) -> _Task | Batch[_Ticket] | _End | None:
        """What to do next; None, unless told to wait, where there is nothing yet."""
        with self._wake:
            while not self._closing or not wait:
                if self._errands:
                    return self._errands.popleft()
                batch = self._scheduler.take(self._clock())
                if batch.entries or batch.too_late:
                    return batch
                if not wait:
                    return None
                self._wake.wait()
            return _End.END

    def _launch(self, batch: Batch[_Ticket]) -> _Flight:
        self._in_hand += [entry.payload.future for entry in batch.too_late + batch.entries]
        self._settle([(entry.payload.future, None, too_late()) for entry in batch.too_late])
        started = self._clock()
        shares = [Share(entry.payload.request, entry.num_rows) for entry in batch.entries]
        return _Flight(batch, started, self._passes.launch(shares))

    def _land(self, flight: _Flight) -> None:
        """Hands a pass' scores to whoever waits for them."""
        outcomes = self._passes.collect(flight.launched)
        failed = any(isinstance(outcome, Exception) for outcome in outcomes)
        now = self._clock()
        with self._wake:
            started = max(flight.started, self._last_landing)
            read_tokens = 0 if failed else flight.launched.work.num_tokens
            self._scheduler.finish(flight.batch, started, now, read_tokens=read_tokens)
            self._scheduler.max_batch_tokens = self._passes.max_tokens
        self._last_landing = now
        entries = zip(flight.batch.entries, outcomes, strict=True)
        self._settle(
            [
                settlement(entry.payload.future, entry.enqueued_at, outcome, flight.started, now)
                for entry, outcome in entries
            ]
        )
        if failed:
            self._probe()  # if this raises, nothing can be scored any more, and the thread ends

    def _run_errand(self, errand: _Task) -> None:
        self._in_hand.append(errand.future)
        try:
            settled: Settlement = (errand.future, errand.function(), None)
        except Exception as error:
            settled = (errand.future, None, error)
        self._settle([settled])

    def _settle(self, settlements: list[Settlement]) -> None:
        settled = {id(future) for future, _, _ in settlements}
        self._in_hand = [future for future in self._in_hand if id(future) not in settled]
        self._call_loop(lambda: settle_all(settlements))

    def _die(self) -> None:
        """Fails whatever waits. Also the ordinary end, when there is nothing left that does."""
        with self._wake:
            expected = self._closing
            self._dead = True
            waiting: list[asyncio.Future[Any]] = [entry.payload.future for entry in self._scheduler.clear()]
            waiting += [errand.future for errand in self._errands]
            self._errands.clear()
        waiting += self._in_hand
        self._call_loop(lambda: settle_all([(future, None, death()) for future in waiting]))
        if not expected:
            self._call_loop(self._on_death)

    def _call_loop(self, function: Callable[[], None]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(function)


def _check_admitted(admission: Admission) -> None:
    if admission is Admission.QUEUE_FULL:
        raise queue_full()
    if admission is Admission.TOO_LATE:
        raise too_late()


def _entry(request: Request, future: asyncio.Future[Scored], now: float) -> Entry[_Ticket]:
    return Entry(
        _Ticket(request, future),
        request.cumulative_tokens,
        request.answer_by,
        request.lane,
        request.domain,
        request.minimum_rows,
        now,
    )
