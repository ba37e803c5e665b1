"""Plots of tables, as SVG with text that can be searched."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from study.records import write_whole


def plot_curves(path: Path, curves: Mapping[str, Mapping[int, Sequence[float]]], x_label: str, y_label: str) -> None:
    """A panel for each name, side by side: points of all seeds, and a line through their means over a logarithmic x."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # without a date and with fixed ids: the same figures give the same bytes
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "lorb", "font.size": 9}):
        figure = Figure(figsize=(3.2 * len(curves), 2.8), layout="constrained")
        for place, (name, curve) in enumerate(curves.items(), start=1):
            axes = figure.add_subplot(1, len(curves), place)
            numbers = sorted(curve)
            for number in numbers:
                axes.plot([number] * len(curve[number]), curve[number], "o", color="tab:blue", alpha=0.5, markersize=4)
            means = [sum(curve[number]) / len(curve[number]) for number in numbers]
            axes.plot(numbers, means, color="tab:blue")
            axes.set_xscale("log")
            axes.set_xticks(numbers, [f"{number:,}" for number in numbers])
            axes.minorticks_off()
            axes.set_title(name)
            axes.set_xlabel(x_label)
            if place == 1:
                axes.set_ylabel(y_label)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    write_whole(path, "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n")
