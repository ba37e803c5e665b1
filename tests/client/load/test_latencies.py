"""lorb_client.load.latencies: percentiles of durations."""

import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb_client.load.latencies import Latencies

durations = st.lists(st.floats(1e-6, 3000, allow_subnormal=False), min_size=1, max_size=300)


def histogram(seconds):
    """Returns a histogram of durations in seconds."""
    latencies = Latencies()
    for each in seconds:
        latencies.record(each)
    return latencies


def exact_ms(seconds, percentile):
    """Returns the exact percentile in milliseconds."""
    return 1000 * sorted(seconds)[max(1, int(percentile * len(seconds) / 100 + 0.5)) - 1]


@given(durations, st.sampled_from([50, 90, 99, 99.9, 100]))
def test_percentiles_are_the_exact_ones_to_three_digits(seconds, percentile):
    """Percentiles are within 0.1 % or a microsecond of the exact ones."""
    assert histogram(seconds).percentile_ms(percentile) == pytest.approx(
        exact_ms(seconds, percentile), rel=1e-3, abs=1e-3
    )


def test_percentiles_of_a_known_distribution():
    """Of durations from 1 to 10,000 ms, percentile p is 100 p ms."""
    found = histogram([i / 1000 for i in range(1, 10_001)]).percentiles()
    assert found.p50 == pytest.approx(5000, rel=1e-3)
    assert found.p90 == pytest.approx(9000, rel=1e-3)
    assert found.p99 == pytest.approx(9900, rel=1e-3)
    assert found.p99_9 == pytest.approx(9990, rel=1e-3)
    assert found.max == 10_000


@given(durations, durations)
def test_merging_is_recording_both(some, others):
    """A merged histogram equals one of all durations, also after pickling."""
    merged = histogram(some)
    merged.merge(pickle.loads(pickle.dumps(histogram(others))))  # noqa: S301 - made here
    assert len(merged) == len(some) + len(others)
    assert merged.percentiles() == histogram([*some, *others]).percentiles()


def test_no_durations_have_no_percentiles():
    """An empty histogram has no percentiles, also after pickling and merging."""
    empty = pickle.loads(pickle.dumps(Latencies()))  # noqa: S301 - made here
    assert empty.percentiles() is None
    merged = histogram([0.5])
    merged.merge(empty)
    assert len(merged) == 1


def test_durations_out_of_range_are_clipped():
    """A negative duration counts as a microsecond, and one over an hour as an hour."""
    found = histogram([-1.0, 1e9])
    assert len(found) == 2
    assert found.percentiles().max == 3_600_000


def test_the_distribution_is_in_milliseconds():
    """All figures of the distribution, also in its footer, are in milliseconds."""
    text = histogram([0.010] * 50 + [0.030] * 50).distribution().decode()
    assert re.search(r"^ +10\.\d+ 0\.0+ +50 ", text, re.MULTILINE)
    footer = re.search(r"Mean += +([\d.]+), StdDeviation += +([\d.]+)", text)
    assert [float(figure) for figure in footer.groups()] == pytest.approx([20, 10], rel=1e-3)
