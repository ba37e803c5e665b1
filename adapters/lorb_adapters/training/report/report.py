"""The report of a training run: the figures of report.json, from which all pages are rendered."""

import json
from pathlib import Path
from typing import Any, NoReturn

from msgspec import UNSET, Struct, UnsetType, field, structs, to_builtins

from lorb.errors import InvalidInput
from lorb_adapters.json_files import Count, Finite, check_schema_version, flattened_json, from_json, parse_json
from lorb_adapters.ranking import Ranking
from lorb_adapters.training.checkpoint import DevEvaluation
from lorb_adapters.training.data.audit import Audit
from lorb_adapters.training.evaluation.calibration import CalibrationChange
from lorb_adapters.training.evaluation.cross_fitting import CrossFit
from lorb_adapters.training.evaluation.set_figures import SetBreakdown, SetFigures
from lorb_adapters.training.evaluation.tuning import WeightPoint
from lorb_adapters.training.report.loss_curve import LossPoint

SCHEMA_VERSION = 2  # version 1 had no schema_version and no data for the plots
REPORT_JSON = "report.json"


class BaseIdentity(Struct, frozen=True):
    """Name and fingerprint of the base that was trained on."""

    name: str
    fingerprint: str


class Parameters(Struct, frozen=True):
    """Parameter counts of what was trained and of the base's encoder.

    Attributes:
        trained_percent: trained parameters in per cent of the base's.
        adapter_bytes: size of the files that hold the trained tensors.
    """

    trained: Count
    base: Count
    trained_percent: Finite
    adapter_bytes: Count


class Cost(Struct, frozen=True):
    """Steps, time, tokens and memory of the run.

    Attributes:
        steps: number of completed steps when the parameters that did best on dev were copied.
        seconds: duration of the training loop, evaluations of dev included.
        tokens: tokens trained on.
        peak_memory_bytes: peak memory of the process.
    """

    steps: Count
    seconds: Finite
    tokens: Count
    peak_memory_bytes: Count

    @property
    def tokens_per_second(self) -> float:
        """Tokens trained on per second of the training loop."""
        return self.tokens / self.seconds if self.seconds else 0.0


class Report(Struct, frozen=True, kw_only=True):
    """Everything needed to judge a run and to repeat it.

    Attributes:
        command: the command line as it was typed.
        config: the TrainConfig as nested dictionaries.
        data_sha256: digest of each train and dev file, by file name.
        list_counts: lists read, dropped and used, by name.
        ranking: weights, posterior scales and switching margins tuned on dev.
        audit: audit of all lists before training.
        sets: figures by set name ("dev", "test", ...), in order; dev is always there.
        calibration: calibration of dev's posteriors.
        weight_curve: dev's WER by weight.
        losses: mean losses over equal stretches of the run.
        dev: the evaluations of dev during training.
        cross_fit: figures of dev without the choices that were made on the same lists, by which publication is decided;
            None in reports of releases that did not compute them.
        list_errors_left_out: true if the report would be too large with the word errors of each list; absent otherwise.
    """

    schema_version: int = SCHEMA_VERSION
    command: str
    domain: str
    base: BaseIdentity
    config: dict[str, Any]
    data_sha256: dict[str, str]
    list_counts: dict[str, Count] = field(name="lists")
    parameters: Parameters
    cost: Cost
    ranking: Ranking
    audit: Audit
    sets: dict[str, SetBreakdown]
    calibration: CalibrationChange
    weight_curve: tuple[WeightPoint, ...]
    losses: tuple[LossPoint, ...]
    dev: tuple[DevEvaluation, ...]
    cross_fit: CrossFit | None = field(name="cross_fitted_dev", default=None)
    list_errors_left_out: bool | UnsetType = UNSET

    @property
    def figures(self) -> dict[str, SetFigures]:
        """The figures of each set by its name, and after "dev" those of "dev, cross-fitted" if there are any."""
        if self.cross_fit is None:
            return dict(self.sets)
        return {"dev": self.sets["dev"], "dev, cross-fitted": self.cross_fit.figures} | self.sets

    @property
    def title(self) -> str:
        """The title of the report: the trained method and the domain."""
        method = self.config.get("method", "")
        return f"{'Adapter' if method == 'lora' else f'Method {method}'} for {self.domain}"

    @property
    def settings(self) -> dict[str, str]:
        """The config as texts by dotted name; lists are joined with commas."""
        return {name: _setting_text(value) for name, value in flattened_json(self.config)}

    def to_json(self) -> str:
        """Returns the content of report.json."""
        return json.dumps(to_builtins(self), indent=2)

    def without_list_errors(self) -> "Report":
        """Returns the report without the word errors of each list, whose size grows with the number of lists."""
        cross_fit = self.cross_fit and structs.replace(
            self.cross_fit, figures=structs.replace(self.cross_fit.figures, list_errors=())
        )
        sets = {name: structs.replace(each, list_errors=()) for name, each in self.sets.items()}
        return structs.replace(self, sets=sets, cross_fit=cross_fit, list_errors_left_out=True)

    @classmethod
    def parse(cls, content: bytes, path: str) -> "Report":
        """Reads the content of the report.json at `path`. Raises InvalidInput naming the path and the wrong field."""
        value = parse_json(content, path, InvalidInput)
        if isinstance(value, dict) and "schema_version" not in value:
            _refuse_unversioned(value, path)
        check_schema_version(value, range(SCHEMA_VERSION, SCHEMA_VERSION + 1), path, InvalidInput)
        report = from_json(value, cls, path, InvalidInput)
        if "dev" not in report.sets:
            raise InvalidInput(f"{path}: sets has no dev", field="sets")
        if not any(point.losses for point in report.losses):
            raise InvalidInput(f"{path}: losses is empty", field="losses")
        return report


def read_report(path: Path) -> Report:
    """Reads a report. Raises InvalidInput if it cannot be read. path: a report.json, or a folder that contains it."""
    file = path / REPORT_JSON if path.is_dir() else path
    try:
        content = file.read_bytes()
    except OSError as error:
        problem = f"has no {REPORT_JSON}" if file != path else f"cannot be read: {error.strerror}"
        raise InvalidInput(f"{path} {problem}", field="run") from error
    return Report.parse(content, str(file))


def _refuse_unversioned(value: dict[str, Any], path: str) -> NoReturn:
    if "sets" in value and "losses" in value:
        problem = "was written by an older LoRB and lacks figures that the comparison needs: train again"
    else:
        problem = "is not a report of lorb-train-adapter"
    raise InvalidInput(f"{path} {problem}", field="schema_version")


def _setting_text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == "":
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
