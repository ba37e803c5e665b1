"""The report of a run, for people (Markdown) and for programs (JSON): the same figures."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lorb_adapters.ranking import Ranking
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.data.audit import Audit
from lorb_adapters.training.evaluation.calibration import CalibrationChange
from lorb_adapters.training.evaluation.evaluation import Evaluation
from lorb_adapters.training.evaluation.set_detail import SetDetail, WeightPoint
from lorb_adapters.training.progress import clock
from lorb_adapters.training.report.calibration_report import calibration_section, margin_section
from lorb_adapters.training.report.loss_curve import loss_curve
from lorb_adapters.training.report.saved_report import SCHEMA_VERSION
from lorb_adapters.training.step_report import DevReport, StepReport

_TABLE_POINTS, _PLOT_POINTS = 20, 200
_EXPLANATION = (
    "Change: 95% interval of rescored minus first pass over 10,000 paired resamples of utterances; below 0 is better. "
    "P: share of the resamples with fewer errors. p: of the matched pairs sentence-segment word error test (MAPSSWE), "
    "two-tailed; Z above 0: rescored is better. What was tuned on dev makes its own row optimistic."
)


@dataclass(frozen=True, slots=True)
class RunReport:
    """Everything a reader needs to judge a run and to repeat it.

    Attributes:
        command: as it was typed.
        domain, base_name, base_fingerprint, config, data_sha256: what was trained on what.
        list_counts: how many lists were read, dropped, used.
        num_trained_parameters, num_base_parameters: counts.
        adapter_bytes: of the files of what was trained.
        num_steps: of the adapter kept.
        train_seconds: of the loop, dev included.
        num_tokens: trained on.
        peak_memory_bytes: of the process.
        ranking: what was tuned on dev.
        audit: of all lists, before.
        calibration: of dev's posteriors.
        sets: by name ("dev", "test", ...), in order.
        details: of the same sets.
        weight_curve: dev by weight.
        steps, looks_at_dev: the run's course.
    """

    command: str
    domain: str
    base_name: str
    base_fingerprint: str
    config: TrainConfig
    data_sha256: Mapping[str, str]
    list_counts: Mapping[str, int]
    num_trained_parameters: int
    num_base_parameters: int
    adapter_bytes: int
    num_steps: int
    train_seconds: float
    num_tokens: int
    peak_memory_bytes: int
    ranking: Ranking
    audit: Audit
    calibration: CalibrationChange
    sets: Mapping[str, Evaluation]
    details: Mapping[str, SetDetail]
    weight_curve: Sequence[WeightPoint]
    steps: Sequence[StepReport]
    looks_at_dev: Sequence[DevReport]

    @property
    def trained_percent(self) -> float:
        """Trained parameters in per cent of the base's."""
        return 100 * self.num_trained_parameters / self.num_base_parameters

    def to_json(self) -> str:
        """All figures, and what the plots show: `lorb_adapters.training.report.html` makes its page of this alone."""
        return json.dumps(
            {
                "schema_version": SCHEMA_VERSION,
                "command": self.command,
                "domain": self.domain,
                "base": {"name": self.base_name, "fingerprint": self.base_fingerprint},
                "config": asdict(self.config),
                "data_sha256": dict(self.data_sha256),
                "lists": dict(self.list_counts),
                "parameters": {
                    "trained": self.num_trained_parameters,
                    "base": self.num_base_parameters,
                    "trained_percent": self.trained_percent,
                    "adapter_bytes": self.adapter_bytes,
                },
                "cost": {
                    "steps": self.num_steps,
                    "seconds": self.train_seconds,
                    "tokens": self.num_tokens,
                    "peak_memory_bytes": self.peak_memory_bytes,
                },
                "ranking": self.ranking.to_json(),
                "audit": self.audit.to_json(),
                "sets": {name: each.to_json() | asdict(self.details[name]) for name, each in self.sets.items()},
                "calibration": {
                    "scale_1": self.calibration.before.to_json(),
                    "tuned": self.calibration.after.to_json(),
                },
                "weight_curve": [asdict(point) for point in self.weight_curve],
                "losses": [_finite(asdict(step)) for step in loss_curve(self.steps, _PLOT_POINTS)],
                "dev": [asdict(look) for look in self.looks_at_dev],
            },
            indent=2,
        )

    def to_markdown(self) -> str:
        """One page."""
        return (
            "\n\n".join(
                [
                    f"# {_made(self.config)} for {self.domain}",
                    f"`{self.command}`",
                    "## Word error rate (per cent, pooled)",
                    _table(_SET_COLUMNS, [_set_row(name, each) for name, each in self.sets.items()]),
                    _EXPLANATION,
                    margin_section(self.sets),
                    calibration_section(self.calibration),
                    "## The lists",
                    self.audit.to_markdown(),
                    "## The run",
                    _table(("what", "value"), self._facts()),
                    "## Dev during training",
                    _table(
                        ("step", "epoch", "WER", "weight", "kept"),
                        [
                            (
                                str(d.step),
                                f"{d.epoch:.2f}",
                                f"{d.wer:.2f}",
                                f"{d.weight:.2f}",
                                "yes" if d.is_best else "",
                            )
                            for d in self.looks_at_dev
                        ],
                    ),
                    "## Losses (means over each twentieth of the run)",
                    _table(
                        ("step", *self.steps[0].losses, "gradient norm"),
                        [
                            (str(s.step), *(f"{value:+.4g}" for value in s.losses.values()), f"{s.gradient_norm:.2f}")
                            for s in loss_curve(self.steps, _TABLE_POINTS)
                        ],
                    ),
                ]
            )
            + "\n"
        )

    def _facts(self) -> list[tuple[str, str]]:
        config, prior = self.config, self.ranking.rank_prior
        return [
            ("base", f"{self.base_name} ({self.base_fingerprint[:12]})"),
            ("head", config.head),
            ("method", _method(config)),
            ("context", "used" if config.uses_context else "not used"),
            ("references as hypotheses", "yes" if config.uses_references else "no"),
            (
                "parameters trained",
                f"{self.num_trained_parameters:,} ({self.trained_percent:.2f}% of the base)",
            ),
            ("size", f"{self.adapter_bytes:,} bytes"),
            *((f"lists {name}", f"{count:,}") for name, count in self.list_counts.items()),
            ("steps of the adapter kept", f"{self.num_steps} of {config.lists_per_step} lists"),
            ("learning rate", f"{config.learning_rate:g}"),
            ("loss", _loss(config)),
            ("correlation weight", f"{config.correlation_weight:g}, rows: {config.correlation_rows}"),
            ("dropout", f"{config.dropout:g}, R-Drop weight {config.r_drop_weight:g}"),
            ("weight decay", f"{config.weight_decay:g}"),
            ("moving average", f"{config.ema_decay:g}" if config.ema_decay else "none"),
            ("seed", str(config.seed)),
            (
                "time",
                f"{clock(self.train_seconds)} min, {self.num_tokens / self.train_seconds:,.0f} tokens/s",
            ),
            ("peak memory", f"{self.peak_memory_bytes / 2**20:,.0f} MiB"),
            ("weight", f"{self.ranking.weight:.3f} (without first-pass scores {prior.weight:.3f})"),
            (
                "posterior scale",
                f"{self.ranking.posterior_scale:.3f} (without first-pass scores {prior.posterior_scale:.3f})",
            ),
            (
                "switching margin",
                f"{self.ranking.switching_margin:.3f} (without first-pass scores {prior.switching_margin:.3f})"
                if config.uses_switching_margin
                else "none",
            ),
            *((f"sha256 {name}", digest[:12]) for name, digest in self.data_sha256.items()),
        ]


_SET_COLUMNS = (
    "set", "utterances", "words", "first pass", "rescored", "oracle", "relative gain %", "recovered gap %",
    "fixed", "broken", "change", "P", "Z", "p",
)  # fmt: skip


def _set_row(name: str, evaluation: Evaluation) -> tuple[str, ...]:
    figures: dict[str, Any] = evaluation.to_json()
    low, high = figures["wer_change_interval_95"]
    return (
        name,
        f"{figures['utterances']:,}",
        f"{figures['words']:,}",
        f"{figures['first_pass_wer']:.2f}",
        f"**{figures['rescored_wer']:.2f}**",
        f"{figures['oracle_wer']:.2f}",
        f"{figures['relative_gain_percent']:.1f}",
        f"{figures['recovered_gap_percent']:.1f}",
        str(figures["lists_fixed"]),
        str(figures["lists_broken"]),
        f"{low:+.2f} to {high:+.2f}",
        f"{figures['probability_of_improvement']:.4f}",
        *_matched_pairs(figures["mapsswe"]),
    )


def _matched_pairs(figures: Mapping[str, float] | None) -> tuple[str, str]:
    return ("", "") if figures is None else (f"{figures['z']:+.2f}", f"{figures['p']:.2g}")


def _finite(step: dict[str, Any]) -> dict[str, Any]:
    """With null for what is no number in JSON: losses of a run that went astray."""
    return {
        name: _finite(value) if isinstance(value, dict) else value if math.isfinite(value) else None
        for name, value in step.items()
    }


def _made(config: TrainConfig) -> str:
    return "Adapter" if config.method == "lora" else f"Method {config.method}"


def _method(config: TrainConfig) -> str:
    """The method and what of the shape it reads."""
    lora = config.lora
    shape = {
        "lora": f", rank {lora.rank}, alpha {lora.alpha:g}, {', '.join(lora.target_modules)}",
        "adapter": f", {lora.rank} wide",
        "prefix": f", {lora.rank} long",
    }.get(config.method, "")
    layers = "" if lora.layers is None else f", layers {', '.join(map(str, lora.layers))}"
    return config.method + shape + layers


def _loss(config: TrainConfig) -> str:
    if not config.uses_teacher:
        return config.loss
    return f"{config.loss}, {config.distillation_weight:g} times the distance from {config.teacher!r}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
