"""Where a training run stands: all that it needs to go on as if it had never stopped."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from lorb.errors import InvalidInput
from lorb_adapters.training.step_report import DevReport, StepReport

_SCHEMA = 1
_JSON = "state"
_DEV_SCORES = "best dev scores"
_GROUPS = ("now", "mean", "square", "average", "best", "made")


@dataclass(slots=True)
class Best:
    """What did best on dev so far.

    Attributes:
        tensors: trained values by name.
        dev_scores: of dev's lists by them.
        step: after which they were taken.
        errors: word errors on dev.
    """

    tensors: dict[str, Tensor]
    dev_scores: list[list[float]]
    step: int
    errors: int


@dataclass(slots=True)
class TrainingState:
    """After `step` whole steps, of the present stage where a run has several.

    Attributes:
        now: trained values by name.
        mean, square: AdamW's moments, by the same names; empty before the first step.
        average: the moving average of the values; empty without one.
        best: on dev; None before the first look.
        looks_without_gain: since the best.
        steps, looks: the run's course.
        seconds: spent so far.
        is_done: whether the loop has ended.
        stage_ends: what `seconds` was when each earlier stage ended; the present stage's number is their count.
        made: what earlier stages made for later ones, by name.
    """

    now: dict[str, Tensor]
    step: int = 0
    mean: dict[str, Tensor] = field(default_factory=dict)
    square: dict[str, Tensor] = field(default_factory=dict)
    average: dict[str, Tensor] = field(default_factory=dict)
    best: Best | None = None
    looks_without_gain: int = 0
    steps: list[StepReport] = field(default_factory=list)
    looks: list[DevReport] = field(default_factory=list)
    seconds: float = 0.0
    is_done: bool = False
    stage_ends: list[float] = field(default_factory=list)
    made: dict[str, Tensor] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """A safetensors file: tensors, and the rest as JSON in its header."""
        tensors = {
            f"{group}/{name}": tensor.detach().cpu().contiguous()
            for group in _GROUPS
            for name, tensor in self._group(group).items()
        }
        rest: dict[str, object] = {
            "schema": _SCHEMA,
            "step": self.step,
            "looks_without_gain": self.looks_without_gain,
            "steps": [asdict(each) for each in self.steps],
            "looks": [asdict(each) for each in self.looks],
            "seconds": self.seconds,
            "is_done": self.is_done,
            "stage_ends": self.stage_ends,
        }
        if self.best is not None:
            scores = [score for each in self.best.dev_scores for score in each]
            tensors[_DEV_SCORES] = torch.tensor(scores, dtype=torch.float64)
            sizes = [len(each) for each in self.best.dev_scores]
            rest["best"] = {"step": self.best.step, "errors": self.best.errors, "sizes": sizes}
        return save(tensors, {_JSON: json.dumps(rest)})

    @classmethod
    def from_bytes(cls, content: bytes, place: str) -> "TrainingState":
        """Reads what `to_bytes` wrote; raises InvalidInput naming `place` where it is torn."""
        try:
            tensors = load(content)
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            rest = json.loads(header["__metadata__"][_JSON])
            if rest["schema"] != _SCHEMA:
                raise ValueError(f"schema {rest['schema']} is unknown")
            groups = _grouped(tensors)
            best = rest.get("best")
            return cls(
                now=groups["now"],
                step=rest["step"],
                mean=groups["mean"],
                square=groups["square"],
                average=groups["average"],
                best=None
                if best is None
                else Best(groups["best"], _split(tensors[_DEV_SCORES], best["sizes"]), best["step"], best["errors"]),
                looks_without_gain=rest["looks_without_gain"],
                steps=[StepReport(**each) for each in rest["steps"]],
                looks=[DevReport(**each) for each in rest["looks"]],
                seconds=rest["seconds"],
                is_done=rest["is_done"],
                stage_ends=rest.get("stage_ends", []),
                made=groups["made"],
            )
        except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as problem:
            raise InvalidInput(
                f"{place} is no checkpoint that this version can read ({problem}): start over with --restart",
                field="resume",
            ) from problem

    def _group(self, name: str) -> Mapping[str, Tensor]:
        if name == "best":
            return {} if self.best is None else self.best.tensors
        group: Mapping[str, Tensor] = getattr(self, name)
        return group


def _grouped(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    groups: dict[str, dict[str, Tensor]] = {group: {} for group in _GROUPS}
    for key, tensor in tensors.items():
        group, _, name = key.partition("/")
        if group in groups:
            groups[group][name] = tensor
    return groups


def _split(scores: Tensor, sizes: Sequence[int]) -> list[list[float]]:
    return [part.tolist() for part in torch.split(scores, list(sizes))]
