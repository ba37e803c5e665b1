"""The report's sections on the switching margin and on posteriors."""

from collections.abc import Mapping

from lorb_adapters.training.evaluation.calibration import Calibration, CalibrationChange
from lorb_adapters.training.evaluation.evaluation import Evaluation
from lorb_adapters.training.report.tables import aligned_table

MARGIN_EXPLANATION = (
    "The first pass's best stays unless another hypothesis leads it by more than the margin, in combined score. "
    "Fixed and broken: lists with fewer and with more errors than in the first pass."
)
CALIBRATION_EXPLANATION = (
    "Of the likeliest hypothesis of each dev list with contrast. Confidence: its posterior. Accuracy: 1 if it has the "
    "fewest word errors of its list, 1 / k if k have. Error: expected calibration error, over ten bins of confidence."
)


def margin_section(sets: Mapping[str, Evaluation]) -> str:
    """What the margin changes in each set."""
    rows = [row for each in sets.items() for row in _margin_rows(*each)]
    return f"## Switching margin\n\n{aligned_table(_MARGIN_COLUMNS, rows)}\n\n{MARGIN_EXPLANATION}"


def calibration_section(change: CalibrationChange) -> str:
    """What the tuned scale changes."""
    rows = [
        _calibration_row("scale 1", change.before),
        _calibration_row("scale as tuned", change.after),
    ]
    return (
        f"## Posterior calibration on dev\n\n{aligned_table(_CALIBRATION_COLUMNS, rows)}\n\n{CALIBRATION_EXPLANATION}"
    )


_CALIBRATION_COLUMNS = ("posteriors", "confidence", "accuracy", "error")
_MARGIN_COLUMNS = ("set", "margin", "rescored", "fixed", "broken")


def _margin_rows(name: str, evaluation: Evaluation) -> list[tuple[str, ...]]:
    choices = {"without": evaluation.without_margin, "with": evaluation.rescored}
    return [
        (
            name,
            which,
            f"{evaluation.percent(errors):.2f}",
            str(evaluation.num_fixed(errors)),
            str(evaluation.num_broken(errors)),
        )
        for which, errors in choices.items()
        if errors is not None
    ]


def _calibration_row(scale: str, calibration: Calibration) -> tuple[str, ...]:
    return (
        scale,
        f"{calibration.confidence:.3f}",
        f"{calibration.accuracy:.3f}",
        f"{calibration.expected_error:.3f}",
    )
