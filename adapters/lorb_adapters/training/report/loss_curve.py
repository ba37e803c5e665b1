"""The course of the losses in few points."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from lorb_adapters.training.step_report import StepReport


def loss_curve(steps: Sequence[StepReport], num_points: int) -> list[StepReport]:
    """At most `num_points` means over equal stretches of the run, each named for its last step; tokens are sums."""
    num_points = min(num_points, len(steps))
    ends = [len(steps) * (i + 1) // num_points for i in range(num_points)]
    return [_mean(steps[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


def _mean(steps: Sequence[StepReport]) -> StepReport:
    return replace(
        steps[-1],
        losses={name: fmean(step.losses[name] for step in steps) for name in steps[-1].losses},
        total=fmean(step.total for step in steps),
        gradient_norm=fmean(step.gradient_norm for step in steps),
        num_tokens=sum(step.num_tokens for step in steps),
    )
