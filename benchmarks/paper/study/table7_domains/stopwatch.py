"""Wall-clock and processor seconds; other load on the machine lengthens the former far more."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class Stopwatch:
    """The seconds of calls, in their order."""

    def __init__(self) -> None:
        self.clock_seconds: list[float] = []
        self.processor_seconds: list[float] = []

    def time(self, do: Callable[[], Result]) -> Result:
        """Calls a function and records how long it took."""
        clock, processor = time.perf_counter(), time.process_time()
        result = do()
        self.processor_seconds.append(time.process_time() - processor)
        self.clock_seconds.append(time.perf_counter() - clock)
        return result

    def to_json(self) -> dict[str, list[float]]:
        """The seconds as JSON, to a tenth of a millisecond."""
        return {
            "clock_seconds": [round(each, 4) for each in self.clock_seconds],
            "processor_seconds": [round(each, 4) for each in self.processor_seconds],
        }
