"""A report.json read back: all that pages and comparisons are made of."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lorb.errors import InvalidInput
from lorb_adapters.json_fields import JsonFields
from lorb_adapters.training.data.audit import Audit
from lorb_adapters.training.evaluation.set_detail import WeightPoint
from lorb_adapters.training.report.saved_set import SetFigures, set_figures
from lorb_adapters.training.step_report import DevReport

SCHEMA_VERSION = 2  # of report.json; 1 had no number and nothing for the plots
REPORT_JSON = "report.json"


@dataclass(frozen=True, slots=True)
class LossPoint:
    """Losses by name, means over the steps since the point before; NaN where one was not finite."""

    step: int
    losses: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class SavedCalibration:
    """Of dev's posteriors at one scale: means of confidence and accuracy, and the expected calibration error."""

    confidence: float
    accuracy: float
    expected_error: float

    @classmethod
    def from_fields(cls, fields: JsonFields) -> "SavedCalibration":
        """Reads it; raises what `fields` do."""
        return cls(fields.number("confidence"), fields.number("accuracy"), fields.number("expected_calibration_error"))


@dataclass(frozen=True, slots=True)
class SavedReport:
    """One run's report; fields as in RunReport.

    Attributes:
        config, data_sha256, list_counts: as texts to show, by dotted name; lists are joined with commas.
        calibration: at scale 1, and at the tuned one.
    """

    command: str
    domain: str
    base_name: str
    base_fingerprint: str
    config: Mapping[str, str]
    data_sha256: Mapping[str, str]
    list_counts: Mapping[str, int]
    num_trained_parameters: int
    trained_percent: float
    adapter_bytes: int
    num_steps: int
    train_seconds: float
    num_tokens: int
    peak_memory_bytes: int
    weight: float
    posterior_scale: float
    switching_margin: float
    audit: Audit
    calibration: tuple[SavedCalibration, SavedCalibration]
    sets: Mapping[str, SetFigures]
    weight_curve: tuple[WeightPoint, ...]
    losses: tuple[LossPoint, ...]
    dev: tuple[DevReport, ...]

    @property
    def tokens_per_second(self) -> float:
        """Trained on, over the whole loop."""
        return self.num_tokens / self.train_seconds if self.train_seconds else 0.0

    @classmethod
    def parse(cls, content: bytes, place: str) -> "SavedReport":
        """Reads a report; raises InvalidInput, naming `place`, where it is none, or one of another schema."""
        top = JsonFields.parse(content, place, InvalidInput)
        _check_schema(top, place)
        base, parameters, cost, ranking = (top.fields(key) for key in ("base", "parameters", "cost", "ranking"))
        calibration = top.fields("calibration")
        sets = {name: set_figures(each) for name, each in top.field_map("sets").items()}
        if "dev" not in sets:
            top.fail("sets", "has no dev")
        losses = tuple(LossPoint(p.integer("step"), _losses(p.fields("losses"))) for p in top.field_list("losses"))
        if not any(point.losses for point in losses):
            top.fail("losses", "holds none")
        return cls(
            command=top.text("command"),
            domain=top.text("domain"),
            base_name=base.text("name"),
            base_fingerprint=base.text("fingerprint"),
            config=dict(_flat(top.fields("config").mapping())),
            data_sha256=top.texts("data_sha256"),
            list_counts={name: int(count) for name, count in top.numbers("lists").items()},
            num_trained_parameters=parameters.integer("trained"),
            trained_percent=parameters.number("trained_percent"),
            adapter_bytes=parameters.integer("adapter_bytes"),
            num_steps=cost.integer("steps"),
            train_seconds=cost.number("seconds"),
            num_tokens=cost.integer("tokens"),
            peak_memory_bytes=cost.integer("peak_memory_bytes"),
            weight=ranking.number("weight"),
            posterior_scale=ranking.number("posterior_scale"),
            switching_margin=ranking.number("switching_margin"),
            audit=Audit.from_fields(top.fields("audit")),
            calibration=(
                SavedCalibration.from_fields(calibration.fields("scale_1")),
                SavedCalibration.from_fields(calibration.fields("tuned")),
            ),
            sets=sets,
            weight_curve=tuple(
                WeightPoint(p.number("weight"), p.number("wer")) for p in top.field_list("weight_curve")
            ),
            losses=losses,
            dev=tuple(
                DevReport(p.integer("step"), p.number("epoch"), p.number("weight"), p.number("wer"), p.flag("is_best"))
                for p in top.field_list("dev")
            ),
        )


def read_report(path: Path) -> SavedReport:
    """The report in a file, or in a folder that has one: a report's or a published version's. Raises InvalidInput."""
    file = path / REPORT_JSON if path.is_dir() else path
    try:
        content = file.read_bytes()
    except OSError as error:
        problem = f"has no {REPORT_JSON}" if file != path else f"cannot be read: {error.strerror}"
        raise InvalidInput(f"{path} {problem}", field="run") from error
    return SavedReport.parse(content, str(file))


def _check_schema(top: JsonFields, place: str) -> None:
    if "schema_version" not in top:
        if "sets" in top and "losses" in top:
            raise InvalidInput(
                f"{place} was written by an older LoRB and lacks what is compared here: train again to have it",
                field="schema_version",
            )
        raise InvalidInput(f"{place} is not a report of lorb-train-adapter", field="schema_version")
    version = top.integer("schema_version")
    if version != SCHEMA_VERSION:
        raise InvalidInput(
            f"{place} has schema_version {version}, and this LoRB reads {SCHEMA_VERSION}", field="schema_version"
        )


def _losses(fields: JsonFields) -> dict[str, float]:
    values = {name: fields.optional_number(name) for name in fields.mapping()}
    return {name: math.nan if value is None else value for name, value in values.items()}


def _flat(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        yield name, ", ".join(map(str, value))
    else:
        yield name, _shown(value)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None or value == "" else f"{value:g}" if isinstance(value, float) else str(value)
