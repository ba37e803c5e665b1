"""Loss curves: equal stretches that cover every step once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb_adapters.training.checkpoint import StepReport
from lorb_adapters.training.report.loss_curve import loss_curve, step_point


def step(number, loss):
    return StepReport(number, 100, number / 10, {"mwer": loss}, loss, 1.0, 7)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=90), st.integers(1, 40))
def test_every_step_is_in_one_point(losses, num_points):
    """Points weighted by their steps have the mean of all losses; tokens add up; the last point is the last step."""
    steps = [step_point(step(i + 1, loss)) for i, loss in enumerate(losses)]
    points = loss_curve(steps, num_points)
    assert len(points) == min(num_points, len(steps))
    lengths = [point.num_tokens / 7 for point in points]
    assert sum(lengths) == len(steps)
    assert max(lengths) - min(lengths) <= 1
    total = sum(point.losses["mwer"] * length for point, length in zip(points, lengths, strict=True))
    assert total == pytest.approx(sum(losses), abs=1e-6)
    assert points[-1].step == len(steps)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=900), st.integers(1, 20))
def test_a_coarse_curve_can_be_made_of_a_finer_one(losses, num_points):
    """The 20-point table of report.md can be made of the 200 points in report.json, whatever the number of steps."""
    steps = [step_point(step(i + 1, loss)) for i, loss in enumerate(losses)]
    fine = loss_curve(steps, 10 * num_points)
    coarse, expected = loss_curve(fine, num_points), loss_curve(steps, num_points)
    assert [point.step for point in coarse] == [point.step for point in expected]
    for one, other in zip(coarse, expected, strict=True):
        assert one.losses["mwer"] == pytest.approx(other.losses["mwer"], abs=1e-9)
        assert one.num_tokens == other.num_tokens


def test_a_loss_that_is_not_finite_has_no_mean():
    """A stretch with a NaN or infinite loss has None for the mean, which JSON can hold; other stretches keep theirs."""
    steps = [step_point(step(i + 1, loss)) for i, loss in enumerate([1.0, float("nan"), 3.0, float("inf"), 5.0, 7.0])]
    assert [point.losses["mwer"] for point in loss_curve(steps, 3)] == [None, None, 6.0]
