"""Loss curves: the steps of a run averaged over equal stretches."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from msgspec import Struct, field

from lorb_adapters.json_files import Count, Finite
from lorb_adapters.training.checkpoint import StepReport

PLOT_POINTS = 200  # number of points that a report stores


class LossPoint(Struct, frozen=True):
    """Means over the steps since the previous point; a mean that is not finite is None.

    Attributes:
        step: number of the last of the averaged steps, counted from 1.
        num_steps: number of steps of the whole run.
        epoch: epochs completed at `step`, with fractions.
        losses: unweighted losses by name: "mwer", "mwed", "distillation", "correlation", "r_drop".
        total: weighted sum of the losses.
        gradient_norm: norm of the gradient before clipping.
        num_tokens: total tokens of the averaged steps.
    """

    step: Count
    num_steps: Count = 0
    epoch: Finite = 0.0
    losses: Mapping[str, Finite | None] = field(default_factory=dict)
    total: Finite | None = None
    gradient_norm: Finite | None = None
    num_tokens: Count = 0


def step_point(step: StepReport) -> LossPoint:
    """Returns the figures of one step as a point."""
    return LossPoint(
        step=step.step,
        num_steps=step.num_steps,
        epoch=step.epoch,
        losses={name: _finite_or_none(value) for name, value in step.losses.items()},
        total=_finite_or_none(step.total),
        gradient_norm=_finite_or_none(step.gradient_norm),
        num_tokens=step.num_tokens,
    )


def loss_curve(points: Sequence[LossPoint], num_points: int) -> tuple[LossPoint, ...]:
    """Averages equal stretches of `points`, weighted by their steps; returns at most `num_points` points."""
    num_points = min(num_points, len(points))
    ends = [len(points) * (i + 1) // num_points for i in range(num_points)]
    steps_before = (0, *(point.step for point in points))
    num_steps = [point.step - before for point, before in zip(points, steps_before, strict=False)]
    return tuple(_mean(points[start:end], num_steps[start:end]) for start, end in zip([0, *ends], ends, strict=False))


def _mean(points: Sequence[LossPoint], weights: Sequence[int]) -> LossPoint:
    def mean(values: Sequence[float | None]) -> float | None:
        return _finite_or_none(fmean([math.nan if value is None else value for value in values], weights))

    last = points[-1]
    return LossPoint(
        step=last.step,
        num_steps=last.num_steps,
        epoch=last.epoch,
        losses={name: mean([point.losses[name] for point in points]) for name in last.losses},
        total=mean([point.total for point in points]),
        gradient_norm=mean([point.gradient_norm for point in points]),
        num_tokens=sum(point.num_tokens for point in points),
    )


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
