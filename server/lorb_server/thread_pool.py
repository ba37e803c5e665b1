"""Thread pools that start all their threads at once; `StoreThreads` also limits the time of each function."""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

from lorb.errors import StoreUnavailable

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def full_pool(num_threads: int, name: str, initializer: Callable[[], object] | None = None) -> ThreadPoolExecutor:
    """A pool of `num_threads` threads, all running; each thread has called `initializer`.

    A plain ThreadPoolExecutor starts threads on demand, perhaps days later. Full pools keep the number of threads
    constant, so that a growing number shows a leak.

    Raises BrokenThreadPool if `initializer` fails.
    """
    pool = ThreadPoolExecutor(num_threads, name, initializer=initializer)
    all_started = threading.Barrier(num_threads)
    for started in [pool.submit(all_started.wait) for _ in range(num_threads)]:
        started.result()
    return pool


class StoreThreads(Executor):
    """Threads for functions that use the store. A function that takes too long fails with StoreUnavailable.

    Nothing can interrupt a read of a file system that does not answer: the read keeps its thread. While one function
    is over its time, no other is started, so that hanging reads cannot take all threads. The threads are daemons, so
    that the process can end without them.
    """

    def __init__(
        self,
        timeout_seconds: float,
        num_threads: int,
        name: str,
        initializer: Callable[[], object] = lambda: None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`timeout_seconds` limits a function's time on its thread. Each thread first calls `initializer`."""
        self._timeout_seconds = timeout_seconds
        self._initializer = initializer
        self._clock = clock
        self._changed = threading.Condition()  # guards the fields below and the result of each future
        self._waiting: deque[_Work] = deque()
        self._running: list[_Work] = []
        self._is_closed = False
        for number in range(num_threads):
            threading.Thread(target=self._run_all, name=f"{name}_{number}", daemon=True).start()
        threading.Thread(target=self._watch, name=f"{name}_watch", daemon=True).start()

    def submit(
        self, fn: Callable[Parameters, Result], /, *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> "Future[Result]":
        """Queues a function. Its future fails with StoreUnavailable if the function, or an earlier one, hangs."""
        future: Future[Result] = Future()
        with self._changed:
            if self._is_closed:
                raise RuntimeError("these threads are closed")
            self._waiting.append(_Work(partial(fn, *args, **kwargs), future))
            self._fail_overdue()
            self._changed.notify_all()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Cancels the queued functions and ends the idle threads. Never waits: a function may never return."""
        with self._changed:
            self._is_closed = True
            for work in self._waiting:
                work.future.cancel()
            self._waiting.clear()
            self._changed.notify_all()

    def _fail_overdue(self) -> float | None:
        """Fails each function that is over its time, and then also the queued ones.

        Returns the seconds until the next running function is over its time; None if there is none.
        """
        with self._changed:
            seconds_left = [work.started_at + self._timeout_seconds - self._clock() for work in self._running]
            overdue = [work for work, left in zip(self._running, seconds_left, strict=True) if left <= 0]
            if overdue:
                for work in overdue:
                    if not work.future.done():
                        work.future.set_exception(_no_answer(self._timeout_seconds))
                for work in self._waiting:
                    if work.future.set_running_or_notify_cancel():  # no caller can cancel it between this and the next
                        work.future.set_exception(_no_answer(self._timeout_seconds))
                self._waiting.clear()
            return min((left for left in seconds_left if left > 0), default=None)

    def _watch(self) -> None:
        with self._changed:
            while not self._is_closed:
                self._changed.wait(self._fail_overdue())

    def _run_all(self) -> None:
        self._initializer()
        while (work := self._next_work()) is not None:
            error: BaseException | None = None
            try:
                result = work.function()
            except BaseException as problem:
                error = problem
            with self._changed:
                self._running.remove(work)
                if work.future.done():  # it is over its time
                    continue
                if error is None:
                    work.future.set_result(result)
                else:
                    work.future.set_exception(error)

    def _next_work(self) -> "_Work | None":
        """The next function, whose time begins now. None once the threads are closed."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                if not self._waiting:
                    return None
                work = self._waiting.popleft()
                if work.future.set_running_or_notify_cancel():
                    work.started_at = self._clock()
                    self._running.append(work)
                    self._changed.notify_all()  # the watching thread
                    return work


class _Work:
    """A function and the future of its result."""

    def __init__(self, function: Callable[[], Any], future: "Future[Any]") -> None:
        self.function = function
        self.future = future
        self.started_at = 0.0


def _no_answer(timeout_seconds: float) -> StoreUnavailable:
    return StoreUnavailable(
        f"the store has not answered for {timeout_seconds:g} s: check its file system or its network", field="store"
    )
