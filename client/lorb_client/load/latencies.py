"""Latencies: durations in a high dynamic range histogram, with three significant digits."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

from hdrh.histogram import HdrHistogram

_MAX_MICROSECONDS = 3_600_000_000  # one hour; longer durations count as one hour
_DIGITS = 3
_MICROSECONDS_PER_MS = 1000.0


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Percentiles of durations in milliseconds, within 0.1 % of the exact value; `max` is exact to 1 us."""

    p50: float
    p90: float
    p99: float
    p99_9: float
    max: float


class Latencies:
    """A histogram of durations. Can be pickled and merged."""

    def __init__(self) -> None:
        self._histogram = HdrHistogram(1, _MAX_MICROSECONDS, _DIGITS)
        self._max_microseconds = 0  # kept apart, because the encoded histogram does not hold the maximum

    def __len__(self) -> int:
        return int(self._histogram.get_total_count())

    def record(self, seconds: float) -> None:
        """Adds one duration. A duration below 1 microsecond or above one hour counts as the nearest limit."""
        microseconds = min(max(1, round(seconds * 1e6)), _MAX_MICROSECONDS)
        self._histogram.record_value(microseconds)
        self._max_microseconds = max(self._max_microseconds, microseconds)

    def merge(self, other: "Latencies") -> None:
        """Adds all durations of `other`."""
        if len(other):
            self._histogram.add(other._histogram)
            self._max_microseconds = max(self._max_microseconds, other._max_microseconds)

    def percentile_ms(self, percentile: float) -> float:
        """Returns the duration at `percentile` (0 to 100) in milliseconds; 0 if there are no durations."""
        if not len(self):
            return 0.0
        # the histogram returns the upper end of a bucket, which may exceed the longest duration
        microseconds = min(self._histogram.get_value_at_percentile(percentile), self._max_microseconds)
        return float(microseconds) / _MICROSECONDS_PER_MS

    def percentiles(self) -> Percentiles | None:
        """Returns the percentiles to report; None if there are no durations."""
        if not len(self):
            return None
        p50, p90, p99, p99_9 = (self.percentile_ms(percentile) for percentile in (50, 90, 99, 99.9))
        return Percentiles(p50, p90, p99, p99_9, self._max_microseconds / _MICROSECONDS_PER_MS)

    def distribution(self) -> bytes:
        """Returns the percentile distribution in HdrHistogram's text format (.hgrm), in milliseconds."""
        out = BytesIO()
        histogram = self._histogram
        histogram.output_percentile_distribution(out, _MICROSECONDS_PER_MS)
        # hdrhistogram 0.10 converts all figures to milliseconds except the standard deviation
        deviation = b"StdDeviation   = %12.3f" % (histogram.get_stddev() / _MICROSECONDS_PER_MS)
        return re.sub(rb"StdDeviation   = +[0-9.]+", deviation, out.getvalue())

    def __reduce__(self) -> tuple[Callable[[bytes, int], "Latencies"], tuple[bytes, int]]:
        return _decoded, (bytes(self._histogram.encode()), self._max_microseconds)


def _decoded(encoded: bytes, max_microseconds: int) -> Latencies:
    latencies = Latencies()
    latencies._max_microseconds = max_microseconds
    latencies._histogram.decode_and_add(encoded)
    return latencies
