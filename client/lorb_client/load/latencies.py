"""Durations in a high dynamic range histogram: three digits of each, whatever their number."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

from hdrh.histogram import HdrHistogram

_MAX_MICROSECONDS = 3_600_000_000  # an hour: longer counts as an hour
_DIGITS = 3
_MICROSECONDS_PER_MS = 1000.0


@dataclass(frozen=True, slots=True)
class Percentiles:
    """What is reported of durations, in milliseconds; each is within 0.1 % of the exact one, `max` exact to 1 us."""

    p50: float
    p90: float
    p99: float
    p99_9: float
    max: float


class Latencies:
    """Counts durations; may travel between processes and be merged."""

    def __init__(self) -> None:
        self._histogram = HdrHistogram(1, _MAX_MICROSECONDS, _DIGITS)
        self._max_microseconds = 0  # the histogram forgets it when it is encoded

    def __len__(self) -> int:
        return int(self._histogram.get_total_count())

    def record(self, seconds: float) -> None:
        """Counts one duration; none is below 1 microsecond."""
        microseconds = min(max(1, round(seconds * 1e6)), _MAX_MICROSECONDS)
        self._histogram.record_value(microseconds)
        self._max_microseconds = max(self._max_microseconds, microseconds)

    def merge(self, other: "Latencies") -> None:
        """Adds all durations of `other`."""
        if len(other):
            self._histogram.add(other._histogram)
            self._max_microseconds = max(self._max_microseconds, other._max_microseconds)

    def percentile_ms(self, percentile: float) -> float:
        """The duration, in milliseconds, that `percentile` per cent do not exceed; 0 where there are none."""
        if not len(self):
            return 0.0
        # the histogram names a bucket's upper end, which may lie above the longest
        microseconds = min(self._histogram.get_value_at_percentile(percentile), self._max_microseconds)
        return float(microseconds) / _MICROSECONDS_PER_MS

    def percentiles(self) -> Percentiles | None:
        """The usual ones; None where there are no durations."""
        if not len(self):
            return None
        p50, p90, p99, p99_9 = (self.percentile_ms(percentile) for percentile in (50, 90, 99, 99.9))
        return Percentiles(p50, p90, p99, p99_9, self._max_microseconds / _MICROSECONDS_PER_MS)

    def distribution(self) -> bytes:
        """The percentile distribution in HdrHistogram's own text format (.hgrm), in milliseconds."""
        out = BytesIO()
        histogram = self._histogram
        histogram.output_percentile_distribution(out, _MICROSECONDS_PER_MS)
        # hdrhistogram 0.10 scales every figure but this one
        deviation = b"StdDeviation   = %12.3f" % (histogram.get_stddev() / _MICROSECONDS_PER_MS)
        return re.sub(rb"StdDeviation   = +[0-9.]+", deviation, out.getvalue())

    def __reduce__(self) -> tuple[Callable[[bytes, int], "Latencies"], tuple[bytes, int]]:
        return _decoded, (bytes(self._histogram.encode()), self._max_microseconds)


def _decoded(encoded: bytes, max_microseconds: int) -> Latencies:
    latencies = Latencies()
    latencies._max_microseconds = max_microseconds
    latencies._histogram.decode_and_add(encoded)
    return latencies
