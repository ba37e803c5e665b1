"""Puts closed- and open-loop load on a server. Latency counts from the time at which a call was due."""

import asyncio
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from grpc import aio

from calls import Caller

CALLERS = 32  # concurrent callers of the closed loop
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
MIN_SLOWER_CALLS = 5


@dataclass(frozen=True, slots=True)
class Latencies:
    """The latencies of calls.

    Attributes:
        seconds: of each call, from the time at which it was due; sorted.
    """

    seconds: Sequence[float]

    def shown(self) -> dict[str, float]:
        """p50, p90 and p99 in seconds, each only if at least five calls took longer."""
        return {
            label: self.quantile(share)
            for label, share in QUANTILES.items()
            if round((1 - share) * len(self.seconds)) >= MIN_SLOWER_CALLS
        }

    def quantile(self, share: float) -> float:
        """The nearest-rank quantile in seconds."""
        return self.seconds[max(0, math.ceil(share * len(self.seconds)) - 1)]


async def first_answer(caller: Caller, timeout_seconds: float = 300.0) -> bytes:
    """Repeats call 0 until it succeeds; raises the last error after the time-out."""
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
    """The seconds that `num_callers` callers need for calls 0 to `num_calls` - 1.

    Raises what a call raises, and ValueError if an answer was not rescored in full.
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
    """Sends calls at exponential intervals without waiting for answers; returns when all are answered.

    Raises what a call raises, and ValueError if an answer was not rescored in full.
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
