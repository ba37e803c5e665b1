"""Runs one load per key at a time, shares its result among callers, and backs off after a failure."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from copy import copy
from dataclasses import dataclass
from typing import Generic, TypeVar

from lorb.errors import LorbError

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")

BACK_OFF_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Failure:
    error: LorbError
    retry_at: float


class SingleFlight(Generic[Key, Result]):
    """Runs at most one load per key at a time. Belongs to the event loop."""

    def __init__(
        self, *, back_off_seconds: float = BACK_OFF_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """For `back_off_seconds` after a load has failed, callers for the same key get the load's error at once."""
        self._back_off_seconds = back_off_seconds
        self._clock = clock
        self._running: dict[Key, asyncio.Task[Result]] = {}
        self._failures: dict[Key, _Failure] = {}

    async def join(self, key: Key, load: Callable[[], Awaitable[Result]], *, backs_off: bool = True) -> Result:
        """Joins the key's running load, or starts `load`. Returns what the load returns; raises what it raises.

        Cancelling one caller does not cancel the load. If `backs_off` is false, a recent failure is ignored.
        """
        failure = self._failures.get(key)
        if failure is not None and backs_off and self._clock() < failure.retry_at:
            raise copy(failure.error)  # a copy, because raising an error adds to its traceback
        return await asyncio.shield(self._task(key, load))

    def start(self, key: Key, load: Callable[[], Awaitable[Result]]) -> None:
        """Starts a load in the background, unless a load of the key already runs or failed recently."""
        failure = self._failures.get(key)
        if failure is None or self._clock() >= failure.retry_at:
            self._task(key, load)

    def forget(self, key: Key) -> None:
        """Forgets the key's failure: the next caller loads again."""
        self._failures.pop(key, None)

    async def close(self) -> None:
        """Cancels all loads and waits for their end."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _task(self, key: Key, load: Callable[[], Awaitable[Result]]) -> asyncio.Task[Result]:
        task = self._running.get(key)
        if task is None:
            task = asyncio.ensure_future(self._run(load))
            self._running[key] = task
            task.add_done_callback(lambda done: self._ended(key, done))
        return task

    async def _run(self, load: Callable[[], Awaitable[Result]]) -> Result:
        return await load()

    def _ended(self, key: Key, task: "asyncio.Task[Result]") -> None:
        del self._running[key]
        self._failures.pop(key, None)
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, LorbError):  # any other error is a bug and is not kept: the next call loads again
            self._prune()
            self._failures[key] = _Failure(copy(error), self._clock() + self._back_off_seconds)

    def _prune(self) -> None:
        """Removes failures whose back-off is over. `_failures` is in the order of `retry_at`."""
        now = self._clock()
        for key, failure in list(self._failures.items()):
            if failure.retry_at > now:
                return
            del self._failures[key]
