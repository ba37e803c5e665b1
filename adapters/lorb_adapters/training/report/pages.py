"""Renders reports as pages: a run as Markdown and HTML, and a comparison of runs as HTML."""

import math
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from rapidfuzz.distance import Levenshtein

from lorb_adapters.training.data.audit import FACT_COLUMNS, FINDING_COLUMNS, NOTHING_FOUND
from lorb_adapters.training.progress import format_duration
from lorb_adapters.training.report import plots
from lorb_adapters.training.report.comparison import Comparison
from lorb_adapters.training.report.loss_curve import loss_curve
from lorb_adapters.training.report.report import Report
from lorb_adapters.training.report.svg import NUM_COLOURS

_TEMPLATES = Path(__file__).parent / "templates"
_TABLE_POINTS = 20


def template_environment(*folders: Path) -> Environment:
    """Returns Jinja's environment for the templates in `folders` and in this package; HTML templates escape all texts.

    Filters: `fmt` applies Python's format(), with None as NaN. `interval` shows the two ends of an interval. `clock`
    shows seconds as minutes and seconds. `slug` turns the name of a set into an HTML id.
    """
    environment = Environment(
        loader=FileSystemLoader([*folders, _TEMPLATES]),
        autoescape=select_autoescape(["html.j2"], default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"clock": format_duration, "fmt": _fmt, "interval": _interval, "slug": _slug}
    return environment


def report_markdown(report: Report) -> str:
    """Renders report.md."""
    return _render("run.md.j2", report=report, losses=loss_curve(report.losses, _TABLE_POINTS))


def run_page(report: Report) -> str:
    """Renders report.html, a page that needs no other file. Raises InvalidInput if matplotlib is missing."""
    return _render(
        "run.html.j2",
        title=report.title,
        report=report,
        run=[("", report)],
        plots=plots,
        word_diff=_word_diff,
        fact_columns=FACT_COLUMNS,
        finding_columns=FINDING_COLUMNS,
        nothing_found=NOTHING_FOUND,
    )


def comparison_page(comparison: Comparison) -> str:
    """Renders a comparison as an HTML page that needs no other file. Raises InvalidInput if matplotlib is missing."""
    return _render(
        "comparison.html.j2",
        title="Runs side by side",
        comparison=comparison,
        runs=list(zip(comparison.labels, comparison.runs, strict=True)),
        plots=plots,
        num_colours=NUM_COLOURS,
    )


def _render(template: str, **values: object) -> str:
    return template_environment().get_template(template).render(values)


def _word_diff(reference: str, hypothesis: str) -> list[tuple[str, str]]:
    """Splits a hypothesis into pairs (HTML tag, text).

    Tags: "mark" for wrong words, "del" for missing words, "" for correct words. Words are aligned by Levenshtein
    distance, as word errors are counted.
    """
    reference_words, words = reference.split(), hypothesis.split()
    parts = []
    for edit in Levenshtein.opcodes(reference_words, words):
        if edit.tag == "delete":
            parts.append(("del", " ".join(reference_words[edit.src_start : edit.src_end])))
        else:
            tag = "" if edit.tag == "equal" else "mark"
            parts.append((tag, " ".join(words[edit.dest_start : edit.dest_end])))
    return parts


def _fmt(value: float | None, spec: str) -> str:
    return format(math.nan if value is None else value, spec)


def _interval(ends: tuple[float, float]) -> str:
    low, high = ends
    return f"{low:+.2f} to {high:+.2f}"


def _slug(name: str) -> str:
    return "-".join(part for part in name.replace(",", " ").split() if part.isalnum())
