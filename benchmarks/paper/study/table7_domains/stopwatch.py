"""Seconds by the clock and by the processor: what else ran on the machine lengthens the first far more."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class Stopwatch:
    """Seconds of some doings, in their order."""

    def __init__(self) -> None:
        self.clock_seconds: list[float] = []
        self.processor_seconds: list[float] = []

    def time(self, do: Callable[[], Result]) -> Result:
        """Does it and notes how long it took."""
        clock, processor = time.perf_counter(), time.process_time()
        result = do()
        self.processor_seconds.append(time.process_time() - processor)
        self.clock_seconds.append(time.perf_counter() - clock)
        return result

    def to_json(self) -> dict[str, list[float]]:
        """To a tenth of a millisecond."""
        return {
            "clock_seconds": [round(each, 4) for each in self.clock_seconds],
            "processor_seconds": [round(each, 4) for each in self.processor_seconds],
        }
