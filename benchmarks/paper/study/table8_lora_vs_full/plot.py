"""Draws the plot of Table 8: weight updates and activations, layer by layer."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from study.harness.records import Record
from study.table8_lora_vs_full.layer_means import by_layer

_METHODS = (("lora", "LoRA, rank 8", "C0", "o"), ("full", "full fine-tuning", "C1", "s"))
_PANELS = ("size of the update (share of the weight's norm)", "effective rank of the update",
           "CKA of hidden states with the base", "attention: divergence from the base (bits)")  # fmt: skip


def plot(records: Sequence[Record]) -> str:
    """Draws an SVG: means over seeds, with the range of the seeds."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "lorb", "font.size": 9, "axes.titlesize": 9}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(8.0, 5.2), layout="constrained")
        FigureCanvasSVG(figure)
        panels = figure.subplots(2, 2).flat
        for panel, title in zip(panels, _PANELS, strict=True):
            panel.set_title(title)
            panel.grid(alpha=0.3)
            panel.set_xlabel("layer")
        for method, label, colour, marker in _METHODS:
            for panel, lines in zip(figure.axes, _lines(records, method), strict=True):
                mean, numbers = lines.mean(axis=0), range(1, lines.shape[1] + 1)
                panel.plot(numbers, mean, color=colour, marker=marker, label=label)
                panel.fill_between(numbers, lines.min(axis=0), lines.max(axis=0), color=colour, alpha=0.25, linewidth=0)
        figure.axes[0].set_yscale("log")
        figure.axes[0].legend(frameon=False)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _lines(records: Sequence[Record], method: str) -> list[np.ndarray]:
    """The values of each panel, [seeds, layers]."""
    spectra = [record.figures["weights"]["spectra"][method] for record in records]
    seen = [record.figures["activations"] for record in records]
    return [
        np.array([by_layer(each, "relative_norm") for each in spectra]),
        np.array([by_layer(each, "effective_rank") for each in spectra]),
        np.array([each["cka"][f"base-{method}"][1:] for each in seen]),
        np.array([each["attention_bits"][f"base-{method}"] for each in seen]),
    ]
