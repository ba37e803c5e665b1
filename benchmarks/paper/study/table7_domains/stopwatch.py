"""Measures wall-clock and processor seconds of calls."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class Stopwatch:
    """The seconds of each call, in the order of the calls."""

    def __init__(self) -> None:
        self.clock_seconds: list[float] = []
        self.processor_seconds: list[float] = []

    def time(self, function: Callable[[], Result]) -> Result:
        """Calls a function and records its time."""
        clock, processor = time.perf_counter(), time.process_time()
        result = function()
        self.processor_seconds.append(time.process_time() - processor)
        self.clock_seconds.append(time.perf_counter() - clock)
        return result

    def to_json(self) -> dict[str, list[float]]:
        """The seconds as JSON, to a tenth of a millisecond."""
        return {
            "clock_seconds": [round(each, 4) for each in self.clock_seconds],
            "processor_seconds": [round(each, 4) for each in self.processor_seconds],
        }
