"""The page of several runs, made of their report.json files alone."""

from lorb_adapters.training.report.comparison import Comparison, Section
from lorb_adapters.training.report.html import plots
from lorb_adapters.training.report.html.figure import MAX_COLOURS
from lorb_adapters.training.report.html.markup import Markup, element, figure, grid, page, stack, table, text

_EXPLANATION = (
    "Word error rates in per cent, pooled over each set. Change: 95% interval of rescored minus first pass over paired "
    "resamples of utterances; below 0 is better. It tells a run from the first pass, not two runs from each other."
)


def comparison_page(comparison: Comparison) -> str:
    """A whole HTML page that needs no other file."""
    labelled = list(zip(comparison.labels, comparison.runs, strict=True))
    return page(
        "Runs side by side",
        [
            element("h1", "Runs side by side"),
            *(element("p", f"{notice}.") for notice in comparison.notices()),
            *(_section(comparison, section) for section in comparison.sections()),
            element("p", _EXPLANATION, "note"),
            element("h2", "Change of the word error rate"),
            grid("figures", [_changes(comparison, i, name) for i, name in enumerate(comparison.set_names)]),
            element("h2", "Training"),
            grid(
                "figures",
                [
                    figure("Losses", "each before its weight, means over equal stretches", plots.losses(labelled)),
                    stack(
                        [
                            figure("Dev WER", "at each look; the ringed ones were kept", plots.dev_course(labelled)),
                            figure(
                                "Dev WER by weight",
                                "0 keeps the first pass; the rings are used",
                                plots.weights(labelled),
                            ),
                        ]
                    ),
                ],
            ),
            element("h2", "Commands"),
            *(
                stack([_heading(i, label, name), element("pre", run.command or "not recorded")])
                for i, (label, name, run) in enumerate(
                    zip(comparison.labels, comparison.names, comparison.runs, strict=True)
                )
            ),
        ],
    )


def _section(comparison: Comparison, section: Section) -> Markup:
    heads = [_heading(i, *each) for i, each in enumerate(zip(comparison.labels, comparison.names, strict=True))]
    rows = [(name, *values) for name, values in section.rows]
    return stack([element("h2", section.title.capitalize()), table(("", *heads), rows, kinds=("setting", "run"))])


def _heading(i: int, label: str, name: str) -> Markup:
    """A run's letter in the colour of its lines, and its name."""
    return Markup(f'<span class="swatch series-{i % MAX_COLOURS}">{label}</span>{text(name)}')


def _changes(comparison: Comparison, i: int, name: str) -> Markup:
    runs = [(place, comparison.labels[place], figures) for place, figures in comparison.having(name)]
    return figure(name, "rescored minus first pass, 95% intervals", plots.changes(f"changes-{i}", runs))
