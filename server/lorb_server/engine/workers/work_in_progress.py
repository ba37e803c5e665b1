"""The lists and tasks that workers have taken from the queue and not finished."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from lorb_server.engine.batch import Batch
from lorb_server.engine.results import Resolution, resolve, thread_died
from lorb_server.engine.workers.work_queue import WorkQueue

_CallLoop = Callable[[Callable[[], None]], None]  # calls a function on the event loop


class WorkInProgress:
    """Resolves futures on the event loop, and fails all of them if a worker dies. Any thread may call any method."""

    def __init__(self, queue: WorkQueue, num_workers: int, call_loop: _CallLoop, on_death: Callable[[], None]) -> None:
        """`on_death` is called on the event loop, once, if a worker dies or `fail` is called."""
        self._queue = queue
        self._num_workers = num_workers
        self._call_loop = call_loop
        self._on_death = on_death
        # Single operations on a dictionary are atomic, so that these need no lock.
        self._futures: dict[int, asyncio.Future[Any]] = {}
        self._batches: dict[int, Batch] = {}
        self._ended: dict[int, None] = {}

    @property
    def batches(self) -> list[Batch]:
        """The batches that run."""
        return list(self._batches.values())

    def begin(self, batch: Batch) -> None:
        """A worker has launched the first share of a batch."""
        self._batches[id(batch)] = batch

    def end(self, batch: Batch) -> None:
        """All shares of a batch have ended."""
        del self._batches[id(batch)]

    def hold(self, futures: Sequence[asyncio.Future[Any]]) -> None:
        """A worker has taken the work of these futures: they fail if a worker dies before `resolve`."""
        self._futures.update((id(future), future) for future in futures)

    def resolve(self, resolutions: Sequence[Resolution]) -> None:
        """Resolves futures."""
        for future, _, _ in resolutions:
            self._futures.pop(id(future), None)
        self._call_loop(lambda: resolve(resolutions))

    def worker_ended(self, number: int, *, died: bool) -> None:
        """A worker has ended: it died, or the queue has told it to stop. With the last one, what still waits fails."""
        self._ended[number] = None
        if died or len(self._ended) == self._num_workers:
            self.fail()

    def fail(self) -> None:
        """Fails all lists and tasks that wait or run, and calls `on_death` unless the queue was closed before."""
        waiting, is_sudden = self._queue.end()
        waiting += list(self._futures.values())
        self._call_loop(lambda: resolve([(future, None, thread_died()) for future in waiting]))
        if is_sudden:
            self._call_loop(self._on_death)
