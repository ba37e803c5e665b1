"""Draws matplotlib figures as SVG elements in the colours of a page; equal figures give equal bytes."""

import importlib.util
import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lorb.errors import InvalidInput

if TYPE_CHECKING:  # matplotlib takes a second to import
    from matplotlib.axes import Axes

# Placeholders that the CSS variables of the page replace, so that plots follow the page's light and dark colours.
INK, SOFT = "#010101", "#010102"
NUM_COLOURS = 6
SERIES = tuple(f"#0102{i:02x}" for i in range(NUM_COLOURS))
DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P")
_VARIABLES = {INK: "--ink", SOFT: "--soft"} | {colour: f"--series-{i}" for i, colour in enumerate(SERIES)}
_WIDTH_INCHES, _HEIGHT_INCHES = 5.4, 3.2
_SETTINGS: dict[Any, Any] = {  # Any, because matplotlib's type for the keys is a Literal, which a str does not fit
    "axes.edgecolor": SOFT,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "figure.facecolor": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "grid.alpha": 0.35,
    "grid.color": SOFT,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "savefig.facecolor": "none",
    "svg.fonttype": "none",  # text is not drawn as paths, so the file is smaller and can be searched
    "svg.hashsalt": "lorb",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def colour(i: int) -> str:
    """Returns the colour of the i-th line."""
    return SERIES[i % len(SERIES)]


def dash(i: int) -> str:
    """Returns the dash style of the i-th line; the style changes each time the colours repeat."""
    return DASHES[i // len(SERIES) % len(DASHES)]


def marker(i: int) -> str:
    """Returns the marker of the i-th line, which tells lines apart without colours."""
    return MARKERS[i % len(MARKERS)]


def check_plots_can_be_made() -> None:
    """Raises InvalidInput if matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise InvalidInput(
            "matplotlib, which draws the plots, is not installed: pip install 'lorb[train]'", field="html"
        )


def svg(
    name: str, draw: Callable[["list[Axes]"], None], *, panels: int = 1, height_inches: float = _HEIGHT_INCHES
) -> str:
    """Returns an <svg> element that `draw` draws on `panels` axes, one above another, with a shared x axis.

    name: unique in the page; prefix of the ids in the element. Raises InvalidInput if matplotlib is not installed.
    """
    check_plots_can_be_made()
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(_WIDTH_INCHES, height_inches), layout="constrained")
        FigureCanvasSVG(figure)
        axes = list(figure.subplots(panels, sharex=True, squeeze=False)[:, 0])
        draw(axes)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Creator": None, "Date": None, "Format": None, "Type": None})
    return _for_page(out.getvalue(), name)


def _for_page(text: str, name: str) -> str:
    """Returns the <svg> element alone, without its size, with its ids prefixed and the placeholders replaced."""
    text = text[text.index("<svg") :]
    text = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', r"<svg \1>", text, count=1, flags=re.S)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'\bxlink:href="#', f'href="#{name}-', text)
    text = text.replace("url(#", f"url(#{name}-")
    text = re.sub(r"[ \t]+$", "", text, flags=re.M).strip()
    return re.sub("|".join(_VARIABLES), lambda found: f"var({_VARIABLES[found[0]]})", text)
