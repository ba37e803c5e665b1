"""Runs callers until they are stopped, and counts the outcomes of their calls."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from lorb.errors import LorbError
from lorb.nbest import NBest
from lorb.ranked import RescoreOptions
from lorb_client import AioClient


@dataclass
class CallCounts:
    """The outcomes of all calls.

    Attributes:
        calls: number of answered calls by outcome.
        failed: number of failed calls by error and message.
        longest_seconds: duration of the slowest call.
    """

    calls: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    longest_seconds: float = 0.0

    @property
    def num_calls(self) -> int:
        """The number of calls."""
        return self.calls.total() + self.failed.total()


class Callers:
    """Callers on one client, each with one call at a time and a pause between calls."""

    def __init__(
        self,
        client: AioClient,
        lists: Sequence[NBest],
        options: RescoreOptions,
        *,
        number: int,
        pause_seconds: float,
        timeout_seconds: float,
    ) -> None:
        self.counts = CallCounts()
        self._client = client
        self._lists = lists
        self._options = options
        self._number = number
        self._pause_seconds = pause_seconds
        self._timeout_seconds = timeout_seconds
        self._over = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Starts the callers."""
        self._tasks = [asyncio.create_task(self._call_on(first)) for first in range(self._number)]

    async def stop(self) -> None:
        """Stops the callers after their current calls."""
        self._over.set()
        await asyncio.gather(*self._tasks)

    async def _call_on(self, turn: int) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            try:
                ranked = await self._client.rescore(
                    self._lists[turn % len(self._lists)], self._options, timeout_seconds=self._timeout_seconds
                )
                self.counts.calls[ranked.outcome.value] += 1
            except LorbError as error:
                self.counts.failed[f"{type(error).__name__}: {error.message}"] += 1
            self.counts.longest_seconds = max(self.counts.longest_seconds, time.monotonic() - began)
            turn += self._number
            await asyncio.sleep(self._pause_seconds)
