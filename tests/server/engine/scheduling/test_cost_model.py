"""lorb_server.engine.scheduling.cost_model: predictions and how fast they follow changes."""

import math
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lorb_server.engine.scheduling.cost_model import QUANTILE, CostModel


def learned(passes):
    cost = CostModel()
    for tokens, seconds in passes:
        cost.observe(tokens, seconds)
    return cost


def test_before_any_pass_nothing_is_predicted():
    """Before the first pass the prediction is 0, so that no list is refused."""
    assert CostModel().seconds(1000) == 0.0


def test_a_linear_cost_is_learned():
    """Passes of 5 ms plus 1 ms a token are predicted exactly, also at sizes never observed."""
    cost = learned((tokens, 0.005 + 0.001 * tokens) for tokens in [10, 400, 100, 30, 200] * 10)
    assert cost.seconds(1000) == pytest.approx(1.005, rel=1e-6)
    assert cost.seconds_within_passes(1000) == pytest.approx(1.0, rel=1e-6)


def test_nine_passes_in_ten_are_no_longer_than_predicted():
    """With noisy durations, 9 of 10 passes take no longer than predicted."""
    chance = random.Random(3)
    cost, within = CostModel(), 0
    for i in range(2000):
        tokens = chance.randint(50, 1000)
        seconds = (0.002 + 0.0003 * tokens) * chance.lognormvariate(0, 0.3)
        within += i >= 200 and seconds <= cost.seconds(tokens)
        cost.observe(tokens, seconds)
    assert within / 1800 == pytest.approx(QUANTILE, abs=0.04)


def test_a_machine_that_slows_down_is_noticed():
    """100 passes at half speed outweigh the 1,000 passes before."""
    cost = learned([(100, 0.1)] * 1000 + [(100, 0.2)] * 100)
    assert cost.seconds(100) >= 0.18


def test_a_change_of_speed_is_not_counted_twice():
    """Passes that become twice as long are predicted twice as long, not four times."""
    cost = learned([(tokens, 0.001 * tokens) for tokens in (100, 300, 200) * 20])
    for tokens in (100, 300, 200) * 10:
        cost.observe(tokens, 0.002 * tokens)
    assert 0.9 * 0.4 <= cost.seconds(200) <= 1.35 * 0.4


def test_a_machine_that_recovers_is_noticed_at_once():
    """One pass much faster than predicted resets the prediction."""
    cost = learned([(100, 10.0)] * 100 + [(100, 0.1)])
    assert cost.seconds(100) == pytest.approx(0.1)


def test_one_suspended_pass_changes_little():
    """One pass of an hour, as after a suspend, hardly changes the prediction."""
    cost = learned([(100 + i % 7, 0.1) for i in range(100)] + [(100, 3600.0)])
    assert cost.seconds(100) < 0.2


@given(
    st.lists(
        st.tuples(st.integers(-5, 10_000), st.floats(-10, 1e6) | st.just(math.nan) | st.just(math.inf)), max_size=120
    )
)
@example([(2, 5e-324)])  # so short that the seconds per token underflow
def test_whatever_is_observed_predictions_stay_finite_and_rise(passes):
    """Whatever durations are observed, predictions are finite, not negative, and rise with the tokens."""
    cost = learned(passes)
    predicted = [cost.seconds(tokens) for tokens in (0, 1, 10, 1000, 100_000)]
    assert all(math.isfinite(each) and each >= 0 for each in predicted)
    assert predicted == sorted(predicted)
