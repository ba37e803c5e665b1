"""Loads that several callers may wait for: each is done once, and not again at once after it failed."""

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
    """Loads by key. Belongs to the event loop."""

    def __init__(
        self, *, back_off_seconds: float = BACK_OFF_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """For `back_off_seconds` after a failure, those who ask for the key get the same error."""
        self._back_off_seconds = back_off_seconds
        self._clock = clock
        self._running: dict[Key, asyncio.Task[Result]] = {}
        self._failures: dict[Key, _Failure] = {}

    async def join(self, key: Key, load: Callable[[], Awaitable[Result]], *, is_patient: bool = True) -> Result:
        """What `load` returns or raises; a load of this key that runs already is waited for instead.

        Cancelling a caller leaves the load to the others. Unless `is_patient`, a failure just now is no reason
        not to try again.
        """
        failure = self._failures.get(key)
        if failure is not None and is_patient and self._clock() < failure.retry_at:
            raise copy(failure.error)  # a raised error collects the traceback of whoever raises it
        return await asyncio.shield(self._task(key, load))

    def start(self, key: Key, load: Callable[[], Awaitable[Result]]) -> None:
        """Begins a load that nobody waits for, unless it runs already or failed just now."""
        failure = self._failures.get(key)
        if failure is None or self._clock() >= failure.retry_at:
            self._task(key, load)

    def forget(self, key: Key) -> None:
        """Lets the next caller try again, however lately the key failed."""
        self._failures.pop(key, None)

    async def close(self) -> None:
        """Gives up what runs, and waits for its end."""
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
        if isinstance(error, LorbError):  # any other is a fault of ours, to be seen whenever it happens
            self._prune()
            self._failures[key] = _Failure(copy(error), self._clock() + self._back_off_seconds)

    def _prune(self) -> None:
        """Keeps the failures that still hold callers back: they come in the order of their times."""
        now = self._clock()
        for key, failure in list(self._failures.items()):
            if failure.retry_at > now:
                return
            del self._failures[key]
