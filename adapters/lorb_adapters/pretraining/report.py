"""The report of a base's making, for people (Markdown) and for programs (JSON): the same figures."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lorb_adapters.pretraining.config import PLL, BuildConfig
from lorb_adapters.pretraining.trained_base import Measurement
from lorb_adapters.pretraining.zero_shot import ZeroShot
from lorb_adapters.training.progress import clock
from lorb_adapters.training.step_report import StepReport

_CURVE_POINTS = 20


@dataclass(frozen=True, slots=True)
class BuildReport:
    """Everything a reader needs to judge a base and to make it again.

    Attributes:
        command: as it was typed.
        base_name, base_fingerprint: what it was made from.
        config, data_sha256: how, and from which text and lists.
        counts: of sentences, words, confusions and lists.
        num_parameters: trained, the head's included.
        stage_seconds: of each stage by name, in all parts of a resumed run.
        peak_memory_bytes: of the process.
        learnt: on held-out sentences.
        zero_shot: on dev; None without dev lists.
        steps: the run's course, stage after stage.
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
    learnt: Measurement
    zero_shot: ZeroShot | None
    steps: Sequence[StepReport]

    def to_json(self) -> str:
        """All figures."""
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
                    "seconds": self._seconds,
                    "stage_seconds": dict(self.stage_seconds),
                    "tokens": self._num_tokens,
                    "peak_memory_bytes": self.peak_memory_bytes,
                },
                **self.learnt.to_json(),
                "dev": self.zero_shot
                and self.zero_shot.evaluation.to_json() | {"weights": list(self.zero_shot.weights)},
                "losses": [asdict(step) for step in self._curve()],
            },
            indent=2,
        )

    def to_markdown(self) -> str:
        """One page."""
        curve = [(next(iter(s.losses)), str(s.step), f"{s.total:.4f}", f"{s.gradient_norm:.2f}") for s in self._curve()]
        title, figures = self.learnt.table()
        parts = [
            f"# A base made from {self.base_name}",
            f"`{self.command}`",
            *self._dev(),
            f"## {title}",
            _table(("what", "value"), figures),
            "## The run",
            _table(("what", "value"), self._facts()),
            "## Loss (the last step of each twentieth of the run)",
            "Every step reads sentences that its stage has not seen in this pass over them.",
            _table(("stage", "step", "loss", "gradient norm"), curve),
        ]
        return "\n\n".join(parts) + "\n"

    @property
    def _seconds(self) -> float:
        return sum(self.stage_seconds.values())

    @property
    def _num_tokens(self) -> int:
        return sum(step.num_tokens for step in self.steps)

    def _curve(self) -> list[StepReport]:
        every = max(1, len(self.steps) // _CURVE_POINTS)
        return list(self.steps[every - 1 :: every])

    def _dev(self) -> list[str]:
        if self.zero_shot is None:
            return []
        figures: dict[str, Any] = self.zero_shot.evaluation.to_json()
        low, high = figures["wer_change_interval_95"]
        first, second = self.zero_shot.weights
        row = (
            f"{figures['utterances']:,}",
            f"{figures['words']:,}",
            f"{figures['first_pass_wer']:.2f}",
            f"**{figures['rescored_wer']:.2f}**",
            f"{figures['oracle_wer']:.2f}",
            f"{figures['relative_gain_percent']:.1f}",
            f"{low:+.2f} to {high:+.2f}",
            f"{figures['probability_of_improvement']:.4f}",
        )
        columns = ("utterances", "words", "first pass", "rescored", "oracle", "relative gain %", "change", "P")
        return [
            "## Word error rate of dev (per cent, pooled), no list of it seen",
            _table(columns, [row]),
            f"Each half of dev (every other list) is ranked with the weight tuned on the other half: {first:.3f} from "
            f"the first, {second:.3f} from the second. Change: 95% interval over 10,000 paired resamples; below 0 is "
            "better.",
        ]

    def _facts(self) -> list[tuple[str, str]]:
        config = self.config
        return [
            ("made from", f"{self.base_name} ({self.base_fingerprint[:12]})"),
            ("layers kept", "all" if config.num_layers is None else f"the lowest {config.num_layers}"),
            ("parameters trained", f"{self.num_parameters:,}"),
            *((name, f"{count:,}") for name, count in self.counts.items()),
            ("steps", f"{len(self.steps):,} of {config.sentences_per_step} sentences"),
            ("corrupted", f"{100 * config.corrupted_share:.1f}% of words"),
            *self._stages(),
            ("learning rate", f"{config.learning_rate:g}"),
            ("weight decay", f"{config.weight_decay:g}"),
            ("seed", str(config.seed)),
            ("time", f"{clock(self._seconds)} min"),
            ("tokens read in steps", f"{self._num_tokens:,}"),
            ("peak memory", f"{self.peak_memory_bytes / 2**20:,.0f} MiB"),
            *((f"sha256 {name}", digest[:12]) for name, digest in self.data_sha256.items()),
        ]

    def _stages(self) -> list[tuple[str, str]]:
        """What each stage read and took; with one stage alone that is said elsewhere."""
        config = self.config
        if config.objective != PLL:
            return []
        budgets = (config.num_sentences, config.num_teacher_sentences, config.num_distillation_sentences)
        return [
            (f"stage {name}", f"{budget:,} sentences, {clock(seconds)} min")
            for budget, (name, seconds) in zip(budgets, self.stage_seconds.items(), strict=True)
        ]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
