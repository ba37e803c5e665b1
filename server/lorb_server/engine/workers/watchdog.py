"""Notices that a worker is stuck: one piece of its work takes far longer than predicted."""

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

TICK_SECONDS = 0.5
# A tick counts as at most this much time, so that a suspended process, a jump of the clock or a blocked event loop does
# not pass for a stuck model thread.
MAX_TICK_SECONDS = 2 * TICK_SECONDS
MINIMUM_LIMIT_SECONDS = 10.0
LIMIT_PER_PREDICTED_SECOND = 20.0
# Until the warm-up has measured a pass, nothing is predicted. The first passes may load a GPU's kernels or compile the
# CPU's, which takes seconds, and a minute on a busy machine.
UNMEASURED_LIMIT_SECONDS = 120.0

_log = logging.getLogger(__name__)


def pass_limit_seconds(predicted_seconds: float) -> float:
    """How long a pass may take; `predicted_seconds` is 0 before any pass was measured."""
    if not predicted_seconds:
        return UNMEASURED_LIMIT_SECONDS
    return max(MINIMUM_LIMIT_SECONDS, LIMIT_PER_PREDICTED_SECOND * predicted_seconds)


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    name: str
    limit_seconds: float
    started_at: float


class Watchdog:
    """Watches the work of a worker, which calls `begin` and `rest`. The rest belongs to the event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._work: _Work | None = None
        self._watched: _Work | None = None  # the work that ran at the last tick
        self._watched_seconds = 0.0
        self._last_tick = clock()

    def begin(self, name: str, limit_seconds: float) -> None:
        """A worker begins a piece of work. It counts as stuck if it takes longer than `limit_seconds`."""
        self._work = _Work(name, limit_seconds, self._clock())

    def rest(self) -> None:
        """A worker's work is done."""
        self._work = None

    @property
    def busy_seconds(self) -> float:
        """How long the running work has taken; 0 while there is none."""
        work = self._work
        return 0.0 if work is None else self._clock() - work.started_at

    async def run(self, thread: threading.Thread, on_stuck: Callable[[], None]) -> None:
        """Ticks. Once the worker on `thread` is stuck, logs where, calls `on_stuck` and returns."""
        while not self.tick():
            await asyncio.sleep(TICK_SECONDS)
        if self._watched is not None:
            fields = {"work": self._watched.name, "limit_seconds": self._watched.limit_seconds}
            _log.error("a worker is stuck", extra={"fields": {**fields, "stack": _stack(thread)}})
        on_stuck()

    def tick(self) -> bool:
        """Counts the time since the last tick. Returns whether the running work is over its limit."""
        now = self._clock()
        elapsed, self._last_tick = min(now - self._last_tick, MAX_TICK_SECONDS), now
        work = self._work
        if work is None or work is not self._watched:
            self._watched, self._watched_seconds = work, 0.0
            return False
        self._watched_seconds += elapsed
        return self._watched_seconds > work.limit_seconds


def _stack(thread: threading.Thread) -> list[str]:
    """Where a thread is, the outermost call first."""
    frame = sys._current_frames().get(thread.ident or 0)
    return [f"{each.filename}:{each.lineno} {each.name}" for each in traceback.extract_stack(frame)] if frame else []
