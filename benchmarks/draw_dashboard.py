"""Draws the panels of the Grafana dashboard as one picture from a Prometheus server's data.

    python benchmarks/draw_dashboard.py --prometheus http://127.0.0.1:9090 --minutes 30 -o dashboard.png

The exit status is 1 if a panel has no data; its name is printed.
"""

import argparse
import json
import math
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import FuncFormatter, Locator, MaxNLocator, MultipleLocator
from PIL import Image

DASHBOARD = Path(__file__).parents[1] / "deploy" / "monitoring" / "grafana" / "dashboards" / "lorb.json"
COLUMNS = 24
RATE_INTERVAL = "1m"  # the value of Grafana's $__rate_interval for scrape intervals of 5 to 15 s
NUM_POINTS = 240
CELL_INCHES = (0.66, 0.42)
BACKGROUND, PANEL, INK, FAINT = "#f4f5f7", "#ffffff", "#24292e", "#8a949e"
COLORS = ("#3366cc", "#e0742b", "#2e9e5b", "#b8479a", "#8f6f2e", "#3aa6b9", "#c23b3b", "#6b7a8f")
STAT_COLORS = {"green": "#2e9e5b", "yellow": "#d9a514", "red": "#c23b3b", "blue": "#3366cc"}


@dataclass(frozen=True, slots=True)
class Series:
    """A line of a panel: Unix times in seconds, values (NaN if missing), and its name in the legend."""

    name: str
    times: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """A time window in whole Unix seconds."""

    start: int
    end: int

    @property
    def step(self) -> int:
        """Whole seconds between two points."""
        return max(1, round((self.end - self.start) / NUM_POINTS))

    @property
    def times(self) -> tuple[float, ...]:
        """The times of all points."""
        return tuple(float(time) for time in range(int(self.start), int(self.end) + 1, self.step))


class NoData(Exception):
    """A panel has no data."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", metavar="URL")
    parser.add_argument("--minutes", type=float, default=30.0, help="length of the window (30)")
    parser.add_argument("--end", type=float, metavar="TIME", help="end of the window, Unix time in seconds (now)")
    parser.add_argument("-o", "--output", type=Path, default=Path("dashboard.png"))
    arguments = parser.parse_args(argv)
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    end = int(arguments.end or datetime.now(UTC).timestamp())
    window = Window(end - round(60 * arguments.minutes), end)
    try:
        data = {panel["id"]: list(panel_series(arguments.prometheus, panel, window)) for panel in panels}
    except (NoData, OSError) as error:
        print(f"draw_dashboard: {error}", file=sys.stderr)
        return 1
    draw(panels, data, window, arguments.output)
    return 0


def panel_series(prometheus: str, panel: Mapping[str, Any], window: Window) -> Iterator[Series]:
    """The series of a panel's queries. Raises NoData if none has a value."""
    found = False
    for target in panel["targets"]:
        for result in query_range(prometheus, target["expr"], window):
            known = {float(time): float(value) for time, value in result["values"]}
            if any(map(math.isfinite, known.values())):
                found = True
                values = tuple(known.get(time, math.nan) for time in window.times)
                yield Series(legend(target["legendFormat"], result["metric"]), window.times, values)
    if not found:
        raise NoData(f"panel {panel['title']!r} has no data at {prometheus}")


def query_range(prometheus: str, expression: str, window: Window) -> list[dict[str, Any]]:
    """Runs a query over the window, with Grafana's variables filled in. Raises OSError if Prometheus refuses it."""
    filled = expression.replace("$__rate_interval", RATE_INTERVAL).replace("$domain", ".*")
    parameters = {"query": filled, "start": window.start, "end": window.end, "step": window.step}
    url = f"{prometheus}/api/v1/query_range?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=60) as response:  # noqa: S310 - the address is the user's
        results: list[dict[str, Any]] = json.load(response)["data"]["result"]
    return results


def legend(pattern: str, labels: Mapping[str, str]) -> str:
    """Fills in a Grafana legend: {{label}} becomes the label's value. A missing reason is left out."""
    for name, value in labels.items():
        pattern = pattern.replace("{{" + name + "}}", value)
    return " ".join(pattern.replace("{{reason}}", "").split())


def draw(panels: Sequence[Mapping[str, Any]], data: Mapping[int, Sequence[Series]], window: Window, path: Path) -> None:
    """Draws the panels in the dashboard's layout and writes the picture to `path`."""
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    width, height = COLUMNS * CELL_INCHES[0], rows * CELL_INCHES[1]
    figure = pyplot.figure(figsize=(width, height), facecolor=BACKGROUND)
    for panel in panels:
        place = panel["gridPos"]
        box = (place["x"] / COLUMNS, 1 - (place["y"] + place["h"]) / rows, place["w"] / COLUMNS, place["h"] / rows)
        _draw_frame(figure.add_axes(_inset(box, 0.05 / width, 0.05 / height)), panel["title"])
        if panel["type"] == "stat":
            _draw_stat(figure.add_axes(_inset(box, 0.2 / width, 0.1 / height)), panel, data[panel["id"]], window)
        else:
            left, bottom, wide, high = box
            inner = (left + 0.62 / width, bottom + 0.62 / height, wide - 0.8 / width, high - 1.02 / height)
            _draw_lines(figure.add_axes(inner), panel, data[panel["id"]], window)
    figure.savefig(path, dpi=100, facecolor=BACKGROUND)
    pyplot.close(figure)
    with Image.open(path) as image:  # a palette halves the file size
        image.convert("RGB").quantize(192, method=Image.Quantize.FASTOCTREE).save(path, optimize=True)


def _inset(box: tuple[float, ...], x: float, y: float) -> tuple[float, float, float, float]:
    return box[0] + x, box[1] + y, box[2] - 2 * x, box[3] - 2 * y


def _draw_frame(axes: Axes, title: str) -> None:
    axes.set_facecolor(PANEL)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_color("#dfe3e8")
    style = {"va": "top", "color": INK, "fontsize": 10, "weight": "bold"}
    axes.annotate(title, (0, 1), (9, -7), "axes fraction", "offset points", **style)


def _draw_stat(axes: Axes, panel: Mapping[str, Any], series: Sequence[Series], window: Window) -> None:
    axes.axis("off")
    times, values = series[0].times, series[0].values
    last = [value for value in values if math.isfinite(value)][-1]
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    color = STAT_COLORS[[step["color"] for step in steps if step["value"] is None or last >= step["value"]][-1]]
    low = min(0.0, *(value for value in values if math.isfinite(value)))
    axes.fill_between(times, low, values, color=color, alpha=0.18, linewidth=0)
    axes.set_xlim(window.start, window.end)
    top = max(value for value in values if math.isfinite(value)) or 1.0
    axes.set_ylim(low, 3.2 * top)
    text = formatted(last, panel["fieldConfig"]["defaults"])
    style = {"ha": "center", "va": "center", "color": color, "fontsize": 25, "weight": "bold"}
    axes.text(0.5, 0.48, text, transform=axes.transAxes, **style)


def _draw_lines(axes: Axes, panel: Mapping[str, Any], series: Sequence[Series], window: Window) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    custom = defaults["custom"]
    moments = [[datetime.fromtimestamp(time, UTC) for time in one.times] for one in series]
    if custom["stacking"]["mode"] == "normal":
        _stack(axes, series)
    else:
        style = "steps-post" if custom.get("lineInterpolation") == "stepAfter" else "default"
        for i, one in enumerate(series):
            color = COLORS[i % len(COLORS)]
            axes.plot(moments[i], one.values, color=color, linewidth=1.4, drawstyle=style, label=one.name)
            if style == "default" and len(series) < 4:
                axes.fill_between(moments[i], 0, one.values, color=color, alpha=0.06, linewidth=0)
    axes.set_xlim(*(datetime.fromtimestamp(time, UTC) for time in (window.start, window.end)))
    if "min" in defaults:
        axes.set_ylim(bottom=defaults["min"], top=defaults.get("max"))
        if "max" not in defaults:
            axes.set_ylim(top=1.06 * max(axes.get_ylim()[1], 1e-3))
    locator = AutoDateLocator(minticks=3, maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
    axes.yaxis.set_major_locator(_value_ticks(axes.get_ylim()[1], defaults))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: formatted(value, defaults)))
    axes.tick_params(colors=FAINT, labelsize=8, length=0)
    axes.grid(color="#eceff2", linewidth=0.8)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.legend(
        loc="upper left", bbox_to_anchor=(-0.03, -0.09), ncols=6, fontsize=7.5, frameon=False, handlelength=1.1,
        columnspacing=1.0, handletextpad=0.4, labelcolor=INK, borderaxespad=0,
    )  # fmt: skip


def _value_ticks(top: float, defaults: Mapping[str, Any]) -> Locator:
    """At most six ticks at round numbers; at powers of two for bytes."""
    if defaults["unit"] == "bytes":
        return MultipleLocator(2 ** math.ceil(math.log2(top / 5)))
    return MaxNLocator(5, integer=defaults.get("decimals") == 0)


def _stack(axes: Axes, series: Sequence[Series]) -> None:
    """Stacks series, the largest at the bottom; missing values count as zero."""
    heights = {one.name: [value if math.isfinite(value) else 0.0 for value in one.values] for one in series}
    names = sorted(heights, key=lambda name: -sum(heights[name]))
    moments = [datetime.fromtimestamp(time, UTC) for time in series[0].times]
    colors = ("#2e9e5b", *(color for color in COLORS if color != "#2e9e5b"))
    axes.stackplot(moments, [heights[name] for name in names], colors=colors, alpha=0.8, labels=names, linewidth=0)


def formatted(value: float, defaults: Mapping[str, Any]) -> str:
    """Formats a value in a panel's unit."""
    unit = defaults["unit"]
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB" if value < 2**30 else f"{value / 2**30:.2g} GiB"
    if unit == "s":
        return "0" if value == 0 else f"{1000 * value:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"
    rate = "/s" if unit in ("reqps", "ops") else ""
    return (f"{value:.0f}" if defaults.get("decimals") == 0 else f"{value:.3g}") + rate


if __name__ == "__main__":
    sys.exit(main())
