"""lorb_client.load.arrivals: scheduled times of calls."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb.errors import InvalidInput
from lorb_client.load.arrivals import MAX_CALLS, Arrivals, Step, arrival_times, parse_steps, total_seconds

steps = st.lists(
    st.builds(Step, st.floats(0.5, 200, allow_subnormal=False), st.floats(1, 20)).filter(
        lambda step: step.rate_per_second * step.seconds > 1
    ),
    min_size=1,
    max_size=3,
)


@given(steps, st.sampled_from(Arrivals), st.integers(0, 2**31))
def test_times_ascend_within_the_steps(steps, arrivals, seed):
    """Scheduled times ascend from 0 and end before the last step ends."""
    try:
        times = arrival_times(steps, arrivals, seed)
    except InvalidInput:  # a Poisson process may well bring no call
        assert arrivals is Arrivals.POISSON
        return
    assert all(before <= after for before, after in pairwise(times))
    assert times[0] >= 0
    assert times[-1] < total_seconds(steps)


@given(st.floats(1, 500), st.floats(1, 20))
def test_constant_arrivals_have_equal_gaps(rate, seconds):
    """Constant arrivals give rate times duration calls with equal gaps, the first at once."""
    times = arrival_times([Step(rate, seconds)], Arrivals.CONSTANT, 0)
    assert len(times) == pytest.approx(rate * seconds, abs=1)
    assert times[0] == 0
    assert all(after - before == pytest.approx(1 / rate) for before, after in pairwise(times))


@given(st.integers(0, 10**9), st.floats(100, 1000))
def test_poisson_arrivals_have_their_rate_and_spread(seed, rate):
    """Poisson arrivals have the given rate and exponential gaps, each within six deviations."""
    times = arrival_times([Step(rate, 10.0)], Arrivals.POISSON, seed)
    expected = rate * 10
    assert abs(len(times) - expected) < 6 * math.sqrt(expected)
    long_gaps = sum(after - before > 1 / rate for before, after in pairwise(times))
    share = long_gaps / (len(times) - 1)
    assert share == pytest.approx(math.exp(-1), abs=6 * math.sqrt(0.25 / len(times)))


@pytest.mark.parametrize("arrivals", Arrivals)
def test_equal_seeds_make_equal_times(arrivals):
    """Equal seeds give equal times, and another seed gives other Poisson times."""
    schedule = [Step(50, 4), Step(100, 2)]
    first, again, other = (arrival_times(schedule, arrivals, seed) for seed in (7, 7, 8))
    assert first == again
    assert (first != other) == (arrivals is Arrivals.POISSON)


def test_each_step_has_its_own_rate():
    """Each step has the number of calls of its rate and duration."""
    times = arrival_times([Step(10, 10), Step(40, 5)], Arrivals.CONSTANT, 0)
    assert sum(time < 10 for time in times) == 100
    assert sum(time >= 10 for time in times) == 200


def test_steps_are_parsed():
    """Rates and durations are parsed in order."""
    assert parse_steps("50:30,100.5:1") == (Step(50, 30), Step(100.5, 1))


@pytest.mark.parametrize("text", ["50", "50:", "x:1", "0:1", "1:0", "-1:1", "1:inf", "nan:1", "1:1,", ""])
def test_wrong_steps_are_refused(text):
    """Invalid rates and durations are refused."""
    with pytest.raises(InvalidInput):
        parse_steps(text)


def test_a_run_without_calls_or_with_too_many_is_refused():
    """A run without calls and a run with more than MAX_CALLS are refused."""
    with pytest.raises(InvalidInput, match="no call"):
        arrival_times([Step(1e-9, 1)], Arrivals.POISSON, 0)
    with pytest.raises(InvalidInput, match="too many"):
        arrival_times([Step(MAX_CALLS, 1.1)], Arrivals.CONSTANT, 0)
