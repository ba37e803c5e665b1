"""Writes the report of lorb-build-base as report.json and report.md."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from msgspec import to_builtins

from lorb_adapters.pretraining.config import PLL, BuildConfig
from lorb_adapters.pretraining.objectives.objective import HeldOutMetrics
from lorb_adapters.pretraining.zero_shot import ZeroShotEvaluation
from lorb_adapters.training.checkpoint import StepReport
from lorb_adapters.training.report.pages import template_environment

_TEMPLATES = Path(__file__).parent / "templates"
_CURVE_POINTS = 20


@dataclass(frozen=True, slots=True)
class BuildReport:
    """Everything needed to evaluate a base and to reproduce it.

    Attributes:
        command: the command line as it was typed.
        base_name, base_fingerprint: name and fingerprint of the base that training started from.
        config: settings of the run.
        data_sha256: digest of each file, by file name.
        counts: counts of sentences, words, confusions and lists, by name.
        num_parameters: trained parameters, including the head's.
        stage_seconds: duration of each stage by name, in all attempts of a resumed run together.
        peak_memory_bytes: peak memory of the process.
        held_out: figures on held-out sentences.
        zero_shot: figures on dev; None without dev lists.
        steps: the steps of all stages, in order.
    """

    command: str
    base_name: str
    base_fingerprint: str
    config: BuildConfig
    data_sha256: Mapping[str, str]
    counts: Mapping[str, int]
    num_parameters: int
    stage_seconds: Mapping[str, float]
    peak_memory_bytes: int
    held_out: HeldOutMetrics
    zero_shot: ZeroShotEvaluation | None
    steps: Sequence[StepReport]

    @property
    def seconds(self) -> float:
        """Duration of all stages."""
        return sum(self.stage_seconds.values())

    @property
    def num_tokens(self) -> int:
        """Tokens read in training steps."""
        return sum(step.num_tokens for step in self.steps)

    def loss_curve(self) -> list[StepReport]:
        """20 to 39 evenly spaced steps; all steps of a shorter run."""
        every = max(1, len(self.steps) // _CURVE_POINTS)
        return list(self.steps[every - 1 :: every])

    def stages(self) -> list[tuple[str, int, float]]:
        """Name, number of sentences and seconds of each stage; empty for an objective with one stage."""
        config = self.config
        if config.objective != PLL:
            return []
        budgets = (config.num_sentences, config.num_teacher_sentences, config.num_distillation_sentences)
        return [
            (name, budget, seconds) for budget, (name, seconds) in zip(budgets, self.stage_seconds.items(), strict=True)
        ]

    def to_json(self) -> str:
        """The content of report.json."""
        return json.dumps(
            {
                "command": self.command,
                "base": {"name": self.base_name, "fingerprint": self.base_fingerprint},
                "config": asdict(self.config),
                "data_sha256": dict(self.data_sha256),
                "counts": dict(self.counts),
                "parameters": self.num_parameters,
                "cost": {
                    "steps": len(self.steps),
                    "seconds": self.seconds,
                    "stage_seconds": dict(self.stage_seconds),
                    "tokens": self.num_tokens,
                    "peak_memory_bytes": self.peak_memory_bytes,
                },
                **self.held_out.to_json(),
                "dev": self.zero_shot
                and to_builtins(self.zero_shot.evaluation.figures()) | {"weights": list(self.zero_shot.weights)},
                "losses": [asdict(step) for step in self.loss_curve()],
            },
            indent=2,
        )

    def to_markdown(self) -> str:
        """The content of report.md."""
        dev = None if self.zero_shot is None else self.zero_shot.evaluation.figures()
        return template_environment(_TEMPLATES).get_template("base.md.j2").render(report=self, dev=dev)
