"""The plot of Table 4 as an SVG with searchable text."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from study.harness.json_lines import write_whole
from study.statistics.learning_curve import FittedLine

_ACROSS = 40  # points on each line


@dataclass(frozen=True, slots=True)
class Panel:
    """The curve of a domain.

    Attributes:
        changes: change in WER from the first pass, per cent absolute, of each seed, by number of train lists.
        line: fitted to the means over seeds.
    """

    changes: Mapping[int, Sequence[float]]
    line: FittedLine


def plot_curves(path: Path, panels: Mapping[str, Panel]) -> None:
    """Plots the change over the number of train lists, a panel for each domain: seeds, line and interval."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # fixed ids and no date, so that the same figures give the same bytes
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "lorb", "font.size": 9}):
        figure = Figure(figsize=(3.2 * len(panels), 2.8), layout="constrained")
        for place, (name, panel) in enumerate(panels.items(), start=1):
            axes = figure.add_subplot(1, len(panels), place)
            numbers = sorted(panel.changes)
            for number in numbers:
                changes = panel.changes[number]
                axes.plot([number] * len(changes), changes, "o", color="tab:blue", alpha=0.5, markersize=4)
            across = np.geomspace(numbers[0], numbers[-1], _ACROSS)
            band = [panel.line.change_at(each) for each in across]
            axes.plot(across, [each.value for each in band], color="tab:blue", label="fitted line, its 95% interval")
            axes.fill_between(
                across, [each.low for each in band], [each.high for each in band], color="tab:blue", alpha=0.15, lw=0
            )
            axes.axhline(0, color="tab:gray", linestyle="--", label="first pass")
            axes.set_xscale("log")
            axes.set_xticks(numbers, [f"{number:,}" for number in numbers])
            axes.minorticks_off()
            axes.set_title(name)
            axes.set_xlabel("train lists")
            if place == 1:
                axes.set_ylabel("change in dev WER, %")
                axes.legend(frameon=False, fontsize=8)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    write_whole(path, "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n")
