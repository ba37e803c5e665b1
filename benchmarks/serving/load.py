"""Closed- and open-loop load on one server through a Caller. Latency counts from when a call was due."""

import asyncio
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from grpc import aio

from calls import Caller

CALLERS = 32  # concurrent ones in the closed loop
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
LEAST_BEYOND = 5


@dataclass(frozen=True, slots=True)
class Latencies:
    """Of an open loop's calls.

    Attributes:
        seconds: of each answered call, from the moment it was due to be sent; sorted.
    """

    seconds: Sequence[float]

    def told(self) -> dict[str, float]:
        """p50, p90 and p99 in seconds; each only where at least five calls took longer."""
        return {
            label: self.quantile(share)
            for label, share in QUANTILES.items()
            if round((1 - share) * len(self.seconds)) >= LEAST_BEYOND
        }

    def quantile(self, share: float) -> float:
        """The nearest-rank quantile in seconds."""
        return self.seconds[max(0, math.ceil(share * len(self.seconds)) - 1)]


async def first_answer(caller: Caller, timeout_seconds: float = 300.0) -> bytes:
    """Calls until there is a good answer to call 0; raises the last problem after the time-out."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            answer = await caller.call(0)
            caller.scores(0, answer)
        except (OSError, EOFError, ValueError, aio.AioRpcError):  # still loading
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.5)
        else:
            return answer


async def closed_loop(caller: Caller, num_calls: int, num_callers: int = CALLERS) -> float:
    """Seconds that `num_callers`, each with one call at a time, need for calls 0 to `num_calls` - 1.

    Raises what a call raises, and ValueError where an answer was not rescored in full.
    """
    await first_answer(caller)  # connects
    numbers = iter(range(num_calls))
    answers: dict[int, bytes] = {}

    async def call_on() -> None:
        for number in numbers:
            answers[number] = await caller.call(number)

    started = time.perf_counter()
    await asyncio.gather(*(call_on() for _ in range(num_callers)))
    seconds = time.perf_counter() - started
    for number, answer in answers.items():
        caller.scores(number, answer)
    return seconds


async def open_loop(caller: Caller, calls_per_second: float, num_calls: int, seed: int = 0) -> Latencies:
    """Sends calls at random (exponential) intervals, whatever becomes of them, and waits for every answer.

    Raises as `closed_loop` does.
    """
    await first_answer(caller)
    source = random.Random(seed)  # noqa: S311 - arrivals, not a secret
    tasks: list[asyncio.Task[float]] = []
    answers: dict[int, bytes] = {}

    async def call_once(number: int, due: float) -> float:
        answers[number] = await caller.call(number)
        return time.perf_counter() - due

    due = time.perf_counter()
    for number in range(num_calls):
        due += source.expovariate(calls_per_second)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(call_once(number, due)))
    latencies = await asyncio.gather(*tasks)
    for number, answer in answers.items():
        caller.scores(number, answer)
    return Latencies(sorted(latencies))
