"""Scheduled times of calls, computed before the run so that no answer can delay the next call."""

import math
import random
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from lorb.errors import InvalidInput

MAX_CALLS = 50_000_000  # their arrival times take 400 MB; a higher number is probably a typing error


class Arrivals(Enum):
    """The arrival process."""

    POISSON = "poisson"
    """Exponential gaps, as from independent callers."""

    CONSTANT = "constant"
    """Equal gaps."""


@dataclass(frozen=True, slots=True)
class Step:
    """A period with a constant rate. Raises InvalidInput unless rate and duration are finite and above 0.

    Attributes:
        rate_per_second: calls per second.
        seconds: duration of the period.
    """

    rate_per_second: float
    seconds: float

    def __post_init__(self) -> None:
        for name, value in (("rate", self.rate_per_second), ("duration in seconds", self.seconds)):
            if not (math.isfinite(value) and value > 0):
                raise InvalidInput(f"the {name} is {value:g}: give a finite number above 0", field="steps")


def parse_steps(text: str) -> tuple[Step, ...]:
    """Parses "RATE:SECONDS,RATE:SECONDS,...". Raises InvalidInput."""
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
    """Returns the duration of all steps."""
    return math.fsum(step.seconds for step in steps)


def arrival_times(steps: Sequence[Step], arrivals: Arrivals, seed: int) -> "array[float]":
    """Returns the calls' scheduled times in seconds from the start: ascending, 0 or more, before the last step's end.

    Equal arguments give equal times. Raises InvalidInput if there are no calls, or more than MAX_CALLS.
    """
    expected = math.fsum(step.rate_per_second * step.seconds for step in steps)
    if expected > MAX_CALLS:
        raise InvalidInput(f"{expected:.0f} calls are too many for one run: at most {MAX_CALLS}", field="steps")
    rng = random.Random(seed)  # noqa: S311 - not for cryptography
    times = array("d")
    step_start = 0.0
    for step in steps:
        offsets = _poisson(step, rng) if arrivals is Arrivals.POISSON else _constant(step)
        times.extend(step_start + offset for offset in offsets)
        step_start += step.seconds
    if not times:
        raise InvalidInput("no call falls into the run: raise the rate or the duration", field="steps")
    return times


def _poisson(step: Step, rng: random.Random) -> Iterator[float]:
    """Yields times with exponential gaps. Such gaps have no memory, so each step may begin with a new gap."""
    offset = rng.expovariate(step.rate_per_second)
    while offset < step.seconds:
        yield offset
        offset += rng.expovariate(step.rate_per_second)


def _constant(step: Step) -> Iterator[float]:
    """Yields times with equal gaps, the first at the start of the step."""
    i = 0
    while (offset := i / step.rate_per_second) < step.seconds:
        yield offset
        i += 1
