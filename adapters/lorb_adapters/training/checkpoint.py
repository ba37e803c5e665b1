"""The state of a training run: trained parameters, optimiser state and history, with their checkpoint format."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from lorb.errors import InvalidInput

if TYPE_CHECKING:  # torch takes a second to import, and reports need only the figures
    from torch import Tensor

_SCHEMA = 1
_JSON_KEY = "state"
_DEV_SCORES_KEY = "best dev scores"


@dataclass(frozen=True, slots=True)
class StepReport:
    """The figures of one optimiser step.

    Attributes:
        step: number of this step, counted from 1.
        num_steps: number of the run's last step.
        epoch: epochs completed so far, with fractions.
        losses: each unweighted loss, by name: "mwer", "mwed", "distillation", "correlation", "r_drop".
        total: the weighted sum of the losses.
        gradient_norm: norm of the gradient before clipping.
        num_tokens: tokens in the step's lists.
    """

    step: int
    num_steps: int
    epoch: float
    losses: Mapping[str, float]
    total: float
    gradient_norm: float
    num_tokens: int


@dataclass(frozen=True, slots=True)
class DevEvaluation:
    """One evaluation on dev.

    Attributes:
        step: completed steps before the evaluation.
        epoch: epochs completed so far, with fractions.
        weight: weight of the rescoring score, tuned on dev.
        wer: dev's word error rate with `weight`, per cent.
        is_best: whether this evaluation has fewer word errors than every earlier evaluation.
    """

    step: int
    epoch: float
    weight: float
    wer: float
    is_best: bool


ReportCallback = Callable[[StepReport | DevEvaluation], None]


@dataclass(slots=True)
class BestOnDev:
    """The trained parameters with the fewest word errors on dev so far.

    Attributes:
        tensors: trained parameters by name.
        dev_scores: rescoring scores of each dev list's distinct hypotheses, natural log scale.
        step: completed steps when the parameters were copied.
        errors: word errors on dev.
    """

    tensors: "dict[str, Tensor]"
    dev_scores: list[list[float]]
    step: int
    errors: int


@dataclass(slots=True)
class TrainingState:
    """The state of a run after `step` steps of its current stage.

    A run that continues from this state gives the same bits as an uninterrupted run.

    Attributes:
        tensors: trained parameters by name.
        step: completed steps of the current stage.
        first_moments, second_moments: AdamW's moments by parameter name; empty before the first step.
        moving_average: moving average of the parameters, by name; empty if the run keeps no average.
        best: the parameters that did best on dev; None before the first evaluation.
        evaluations_without_gain: number of dev evaluations since the one that gave `best`.
        steps, evaluations: the reports so far, in order.
        evaluation_scores: rescoring scores of all distinct dev hypotheses, [hypotheses of all lists, end to end], fp32,
            at each evaluation in order. Older releases did not keep them: a state read from their checkpoint has
            only the scores of `best`.
        seconds: training time so far.
        is_done: whether the training loop has ended.
        stage_end_seconds: `seconds` at the end of each completed stage. The number of completed stages is the
            number of the current stage.
        artifacts: tensors that a stage computes for later stages, by name.
    """

    tensors: "dict[str, Tensor]"
    step: int = 0
    first_moments: "dict[str, Tensor]" = field(default_factory=dict)
    second_moments: "dict[str, Tensor]" = field(default_factory=dict)
    moving_average: "dict[str, Tensor]" = field(default_factory=dict)
    best: BestOnDev | None = None
    evaluations_without_gain: int = 0
    steps: list[StepReport] = field(default_factory=list)
    evaluations: list[DevEvaluation] = field(default_factory=list)
    evaluation_scores: "list[Tensor]" = field(default_factory=list)
    seconds: float = 0.0
    is_done: bool = False
    stage_end_seconds: list[float] = field(default_factory=list)
    artifacts: "dict[str, Tensor]" = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Returns the content of a safetensors file with the tensors. Its header holds all other values as JSON."""
        import torch
        from safetensors.torch import save

        # The keys of `groups` and `header` are the file format: do not change them when a field is renamed.
        groups = {
            "now": self.tensors,
            "mean": self.first_moments,
            "square": self.second_moments,
            "average": self.moving_average,
            "best": {} if self.best is None else self.best.tensors,
            "made": self.artifacts,
            "evaluation scores": {str(i): scores for i, scores in enumerate(self.evaluation_scores)},
        }
        tensors = {
            f"{prefix}/{name}": tensor.detach().cpu().contiguous()
            for prefix, group in groups.items()
            for name, tensor in group.items()
        }
        header: dict[str, object] = {
            "schema": _SCHEMA,
            "step": self.step,
            "looks_without_gain": self.evaluations_without_gain,
            "steps": [asdict(each) for each in self.steps],
            "looks": [asdict(each) for each in self.evaluations],
            "seconds": self.seconds,
            "is_done": self.is_done,
            "stage_ends": self.stage_end_seconds,
        }
        if self.best is not None:
            scores = [score for each in self.best.dev_scores for score in each]
            tensors[_DEV_SCORES_KEY] = torch.tensor(scores, dtype=torch.float64)
            sizes = [len(each) for each in self.best.dev_scores]
            header["best"] = {"step": self.best.step, "errors": self.best.errors, "sizes": sizes}
        return save(tensors, {_JSON_KEY: json.dumps(header)})

    @classmethod
    def from_bytes(cls, content: bytes, place: str) -> "TrainingState":
        """Reads the content of a checkpoint. Raises InvalidInput, naming `place`, if the content cannot be read."""
        try:
            return cls._parse(content)
        except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as problem:
            raise InvalidInput(
                f"{place} is not a checkpoint that this version can read ({problem}): start over with --restart",
                field="resume",
            ) from problem

    @classmethod
    def _parse(cls, content: bytes) -> "TrainingState":
        import torch
        from safetensors.torch import load

        tensors = load(content)
        file_header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        header = json.loads(file_header["__metadata__"][_JSON_KEY])
        if header["schema"] != _SCHEMA:
            raise ValueError(f"unknown schema {header['schema']}")
        best = header.get("best")
        if best is not None:
            dev_scores = [part.tolist() for part in torch.split(tensors[_DEV_SCORES_KEY], best["sizes"])]
            best = BestOnDev(_group(tensors, "best"), dev_scores, best["step"], best["errors"])
        evaluation_scores = _group(tensors, "evaluation scores")
        if best is not None and not evaluation_scores:
            evaluation_scores = {"0": tensors[_DEV_SCORES_KEY].float()}
        return cls(
            tensors=_group(tensors, "now"),
            step=header["step"],
            first_moments=_group(tensors, "mean"),
            second_moments=_group(tensors, "square"),
            moving_average=_group(tensors, "average"),
            best=best,
            evaluations_without_gain=header["looks_without_gain"],
            steps=[StepReport(**each) for each in header["steps"]],
            evaluations=[DevEvaluation(**each) for each in header["looks"]],
            evaluation_scores=[evaluation_scores[str(i)] for i in range(len(evaluation_scores))],
            seconds=header["seconds"],
            is_done=header["is_done"],
            stage_end_seconds=header.get("stage_ends", []),
            artifacts=_group(tensors, "made"),
        )


def _group(tensors: "Mapping[str, Tensor]", prefix: str) -> "dict[str, Tensor]":
    start = f"{prefix}/"
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
