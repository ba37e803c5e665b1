"""When calls are due: computed before the first is sent, so that no answer can delay the next call."""

import math
import random
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from lorb.errors import InvalidInput

MAX_CALLS = 50_000_000  # 400 MB of arrival times; a run beyond that is a typing error


class Arrivals(Enum):
    """The arrival process: independent callers, or one that keeps time."""

    POISSON = "poisson"
    CONSTANT = "constant"


@dataclass(frozen=True, slots=True)
class Step:
    """A rate held for a time. Raises InvalidInput unless both are finite and above 0."""

    rate_per_second: float
    seconds: float

    def __post_init__(self) -> None:
        for name, value in (("rate", self.rate_per_second), ("duration in seconds", self.seconds)):
            if not (math.isfinite(value) and value > 0):
                raise InvalidInput(f"the {name} is {value:g}: give a finite number above 0", field="steps")


def parse_steps(text: str) -> tuple[Step, ...]:
    """Reads "RATE:SECONDS,RATE:SECONDS,...". Raises InvalidInput."""
    steps = []
    for part in text.split(","):
        rate, _, seconds = part.partition(":")
        try:
            steps.append(Step(float(rate), float(seconds)))
        except ValueError:
            raise InvalidInput(
                f"the step {part!r} is not RATE:SECONDS, as in 50:30,100:30 (requests per second, seconds)",
                field="steps",
            ) from None
    return tuple(steps)


def total_seconds(steps: Sequence[Step]) -> float:
    """How long all steps take."""
    return math.fsum(step.seconds for step in steps)


def arrival_times(steps: Sequence[Step], arrivals: Arrivals, seed: int) -> "array[float]":
    """Seconds from the start at which calls are due: ascending, 0 or more, before the last step's end.

    Equal arguments give equal times. Raises InvalidInput where there would be none, or more than MAX_CALLS.
    """
    expected = math.fsum(step.rate_per_second * step.seconds for step in steps)
    if expected > MAX_CALLS:
        raise InvalidInput(f"{expected:.0f} calls are too many for one run: at most {MAX_CALLS}", field="steps")
    chance = random.Random(seed)  # noqa: S311 - a load, not a secret
    times = array("d")
    begin = 0.0
    for step in steps:
        offsets = _poisson(step, chance) if arrivals is Arrivals.POISSON else _constant(step)
        times.extend(begin + offset for offset in offsets)
        begin += step.seconds
    if not times:
        raise InvalidInput("no call falls into the run: raise the rate or the duration", field="steps")
    return times


def _poisson(step: Step, chance: random.Random) -> Iterator[float]:
    """Exponential gaps; they have no memory, so that a step may begin anew."""
    offset = chance.expovariate(step.rate_per_second)
    while offset < step.seconds:
        yield offset
        offset += chance.expovariate(step.rate_per_second)


def _constant(step: Step) -> Iterator[float]:
    """Equal gaps, the first call at the step's beginning."""
    i = 0
    while (offset := i / step.rate_per_second) < step.seconds:
        yield offset
        i += 1
