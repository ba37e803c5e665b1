"""Measures two servers in turn under the same load: figures of both, ratios, and the ratios' range."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from load import Latencies
from models import MINILM

RESCORE_MINILM = "rescore-minilm"
SHARE_OF_CAPACITY = 0.5  # of the open loop
UNITS = {
    "throughput, 32 callers": "hypotheses/s",
    "one caller, p50": "ms",
    "one caller, p99": "ms",
    "half of capacity, p50": "ms",
    "half of capacity, p99": "ms",
}


@dataclass(frozen=True, slots=True)
class Amount:
    """How much is measured.

    Attributes:
        models: names of the bases, each with adapters.
        dtypes: of the servers.
        rounds: number of measurements of each checkout.
        seconds: duration of each of the three loads in a round.
    """

    models: tuple[str, ...] = (MINILM, RESCORE_MINILM)
    dtypes: tuple[str, ...] = ("float32", "auto")
    rounds: int = 7
    seconds: float = 8.0


QUICK = Amount(dtypes=("float32",), rounds=3, seconds=3.0)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A figure of both checkouts.

    Attributes:
        model, dtype, name, unit: what was measured.
        this, other: medians of this checkout and of the other one.
        ratio: the median over rounds of this over other.
        lowest, highest: the ratios' range over the rounds.
    """

    model: str
    dtype: str
    name: str
    unit: str
    this: float
    other: float
    ratio: float
    lowest: float
    highest: float


class Server(Protocol):
    """A running server."""

    def throughput(self, seconds: float) -> tuple[float, float]:
        """Hypotheses and lists a second with 32 callers."""

    def alone(self, seconds: float) -> Latencies:
        """The latencies of one caller."""

    def offered(self, lists_per_second: float, seconds: float) -> Latencies:
        """The latencies of calls at random times."""


def compare(
    model: str,
    dtype: str,
    servers: Mapping[str, Server],
    amount: Amount,
    say: Callable[[str], None] = lambda text: None,
) -> list[Comparison]:
    """Measures two servers in turn. servers: "this" and "other"."""
    capacity = min(server.throughput(amount.seconds)[1] for server in servers.values())  # a warm-up too
    rate = SHARE_OF_CAPACITY * capacity
    rounds: dict[str, list[list[float]]] = {name: [] for name in servers}
    for number in range(amount.rounds):
        for name in list(servers)[:: 1 if number % 2 == 0 else -1]:
            rounds[name].append(_measure(servers[name], rate, amount.seconds))
            say(f"[{model} {dtype}] round {number + 1}/{amount.rounds} {name}: {rounds[name][-1][0]:.1f} hypotheses/s")
    by_figure = {name: list(zip(*values, strict=True)) for name, values in rounds.items()}
    return [
        compared(model, dtype, name, by_figure["this"][place], by_figure["other"][place])
        for place, name in enumerate(UNITS)
    ]


def compared(model: str, dtype: str, name: str, this: Sequence[float], other: Sequence[float]) -> Comparison:
    """The statistics of one figure. this, other: [rounds]."""
    ratios = [one / two for one, two in zip(this, other, strict=True)]
    return Comparison(
        model, dtype, name, UNITS[name], median(this), median(other), median(ratios), min(ratios), max(ratios)
    )


def _measure(server: Server, lists_per_second: float, seconds: float) -> list[float]:
    """The figures of a round, in the order of UNITS."""
    hypotheses, _ = server.throughput(seconds)
    figures = [hypotheses]
    for latencies in (server.alone(seconds), server.offered(lists_per_second, seconds)):
        figures += [1000 * latencies.quantile(0.5), 1000 * latencies.quantile(0.99)]
    return figures


def table(found: Sequence[Comparison]) -> str:
    """The figures as text."""
    rows = [("model", "dtype", "what", "this", "other", "", "ratio", "its range")]
    rows += [
        (each.model, each.dtype, each.name, f"{each.this:.4g}", f"{each.other:.4g}", each.unit, f"{each.ratio:.3f}",
         f"{each.lowest:.3f} to {each.highest:.3f}")
        for each in found
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
