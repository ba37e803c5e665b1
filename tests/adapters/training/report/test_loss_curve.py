"""The course of the losses in few points loses no step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb_adapters.training.report.loss_curve import loss_curve
from lorb_adapters.training.step_report import StepReport


def step(number, loss):
    return StepReport(number, 100, number / 10, {"mwer": loss}, loss, 1.0, 7)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=90), st.integers(1, 40))
def test_every_step_is_in_one_point(losses, num_points):
    """Points weighted by their steps have the mean of all losses; tokens add up; the last point is the last step."""
    steps = [step(i + 1, loss) for i, loss in enumerate(losses)]
    points = loss_curve(steps, num_points)
    assert len(points) == min(num_points, len(steps))
    lengths = [point.num_tokens / 7 for point in points]
    assert sum(lengths) == len(steps)
    assert max(lengths) - min(lengths) <= 1
    total = sum(point.losses["mwer"] * length for point, length in zip(points, lengths, strict=True))
    assert total == pytest.approx(sum(losses), abs=1e-6)
    assert points[-1].step == len(steps)
