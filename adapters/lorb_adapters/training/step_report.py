"""What the training loop tells as it goes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one step did.

    Attributes:
        step, num_steps: from 1.
        epoch: passes over the lists so far.
        losses: each apart and before its weight, by name: "mwer", "mwed", "distillation", "correlation", "r_drop".
        total: their weighted sum.
        gradient_norm: before it was clipped.
        num_tokens: read in the step.
    """

    step: int
    num_steps: int
    epoch: float
    losses: Mapping[str, float]
    total: float
    gradient_norm: float
    num_tokens: int


@dataclass(frozen=True, slots=True)
class DevReport:
    """What dev said after a step."""

    step: int
    epoch: float
    weight: float
    wer: float
    is_best: bool


Report = Callable[[StepReport | DevReport], None]
