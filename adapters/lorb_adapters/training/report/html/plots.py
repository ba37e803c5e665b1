"""What is drawn: each function takes figures and gives an <svg> element. Lists of runs are drawn over each other."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lorb_adapters.training.evaluation.set_detail import LengthRange, PosteriorRange
from lorb_adapters.training.report.html.figure import INK, SOFT, colour, dash, marker, svg
from lorb_adapters.training.report.saved_report import SavedReport
from lorb_adapters.training.report.saved_set import SetFigures

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

Runs = Sequence[tuple[str, SavedReport]]  # each with its label
_SYSTEMS = ("first pass", "rescored", "oracle")
_RING: dict[str, Any] = {"marker": "o", "markersize": 11, "fillstyle": "none", "linestyle": "none"}
_WEIGHT_TICKS = (0, 0.1, 0.2, 0.5, 1, 2, 5)


def losses(runs: Runs) -> str:
    """Every loss in a panel of its own over the steps: their sizes differ too much for one."""
    names = list(dict.fromkeys(name for _, run in runs for point in run.losses for name in point.losses))

    def draw(panels: "list[Axes]") -> None:
        for axes, name in zip(panels, names, strict=True):
            for i, (label, run) in enumerate(runs):
                points = [(p.step, p.losses[name]) for p in run.losses if name in p.losses]
                axes.plot(*_columns(points), color=colour(i), linestyle=dash(i), label=label, marker=_dots(i, points))
            axes.set_title(name.replace("_", "-") if name == "r_drop" else name, loc="left")
        panels[-1].set_xlabel("step")
        _whole_numbers(panels[-1])
        if len(runs) > 1:
            _legend_above(panels)

    return svg("losses", draw, panels=len(names), height_inches=1.0 + 1.45 * len(names))


def dev_course(runs: Runs) -> str:
    """Dev's word error rate at each look, the kept one ringed."""

    def draw(panels: "list[Axes]") -> None:
        [axes] = panels
        _first_pass_lines(axes, runs)
        for i, (label, run) in enumerate(runs):
            points = [(look.step, look.wer) for look in run.dev]
            axes.plot(*_columns(points), color=colour(i), linestyle=dash(i), marker=marker(i), label=label)
            best = [(look.step, look.wer) for look in run.dev if look.is_best][-1:]
            axes.plot(*_columns(best), color=colour(i), **_RING)
        axes.set_xlabel("step")
        axes.set_ylabel("WER on dev, %")
        _whole_numbers(axes)
        _legend_above([axes])

    return svg("dev-course", draw)


def weights(runs: Runs) -> str:
    """Dev's word error rate by the weight on the rescoring score, the chosen one ringed."""

    def draw(panels: "list[Axes]") -> None:
        [axes] = panels
        _first_pass_lines(axes, runs)
        for i, (label, run) in enumerate(runs):
            points = [(point.weight, point.wer) for point in run.weight_curve]
            axes.plot(*_columns(points), color=colour(i), linestyle=dash(i), label=label)
            chosen = min(run.weight_curve, key=lambda point: abs(point.weight - run.weight), default=None)
            if chosen is not None:
                axes.plot([chosen.weight], [chosen.wer], color=colour(i), **_RING)
        axes.set_xscale("symlog", linthresh=0.05, linscale=0.35)
        axes.set_xticks(_WEIGHT_TICKS, [f"{tick:g}" for tick in _WEIGHT_TICKS])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("weight on the rescoring score")
        axes.set_ylabel("WER on dev, %")
        _legend_above([axes])

    return svg("weights", draw)


def by_length(name: str, ranges: Sequence[LengthRange]) -> str:
    """Word error rates by the reference's number of words."""

    def draw(panels: "list[Axes]") -> None:
        [axes] = panels
        counts = ([r.first_pass_errors for r in ranges], [r.rescored_errors for r in ranges],
                  [r.oracle_errors for r in ranges])  # fmt: skip
        for i, (system, errors) in enumerate(zip(_SYSTEMS, counts, strict=True)):
            rates = [100 * count / max(1, r.words) for count, r in zip(errors, ranges, strict=True)]
            places = [place + 0.27 * (i - 1) for place in range(len(ranges))]
            axes.bar(places, rates, width=0.25, color=_system_colour(i), label=system)
        axes.set_xticks(range(len(ranges)), [f"{_span(r)}\n{r.utterances:,}" for r in ranges])
        axes.grid(visible=False, axis="x")
        axes.set_xlabel("words in the reference, and how many utterances have so many")
        axes.set_ylabel("WER, %")
        _legend_above([axes])

    return svg(name, draw)


def by_depth(name: str, figures: SetFigures) -> str:
    """Word error rates where only the first N hypotheses of each list are scored."""

    def draw(panels: "list[Axes]") -> None:
        [axes] = panels
        depths = figures.detail.by_depth
        numbers = [each.hypotheses for each in depths]
        axes.axhline(figures.first_pass_wer, color=_system_colour(0), linestyle="--", label="first pass")
        for i, errors in ((1, [d.rescored_errors for d in depths]), (2, [d.oracle_errors for d in depths])):
            rates = [100 * count / max(1, figures.words) for count in errors]
            axes.plot(numbers, rates, color=_system_colour(i), marker=marker(i), label=_SYSTEMS[i])
        if numbers[-1:] > [20]:
            axes.set_xscale("log")
            axes.set_xticks([], minor=True)
        axes.set_xticks(numbers, [str(number) for number in numbers])
        axes.set_xlabel("N: hypotheses scored, the first pass's best first")
        axes.set_ylabel("WER, %")
        _legend_above([axes])

    return svg(name, draw)


def reliability(name: str, ranges: Sequence[PosteriorRange]) -> str:
    """The top hypothesis' posterior against how often it is the best of its list, and the number of lists."""

    def draw(panels: "list[Axes]") -> None:
        upper, lower = panels
        upper.plot([0, 1], [0, 1], color=SOFT, linestyle="--", label="calibrated")
        points = [(each.mean_posterior, each.best_share) for each in ranges]
        intervals = [_wilson(each) for each in ranges]
        below = [max(0.0, r.best_share - low) for r, (low, _) in zip(ranges, intervals, strict=True)]
        above = [max(0.0, high - r.best_share) for r, (_, high) in zip(ranges, intervals, strict=True)]
        upper.errorbar(*_columns(points), yerr=[below, above], color=colour(0), marker="o", capsize=3, label="rescored")
        upper.set_ylim(0, 1.02)
        upper.set_ylabel("best of its list")
        _legend_above([upper])
        lower.bar([(r.low + r.high) / 2 for r in ranges], [r.lists for r in ranges], width=0.09, color=colour(0))
        lower.set_xlim(0, 1)
        lower.set_ylabel("lists")
        lower.set_xlabel("posterior of the top hypothesis")
        gridspec = upper.get_gridspec()
        if gridspec is not None:
            gridspec.set_height_ratios([3, 1])

    return svg(name, draw, panels=2, height_inches=3.8)


def changes(name: str, runs: Sequence[tuple[int, str, SetFigures]]) -> str:
    """The change in word error rate of each run, with its 95% interval; 0 is the first pass.

    runs: each with its number, which decides its colour, and its label.
    """

    def draw(panels: "list[Axes]") -> None:
        [axes] = panels
        axes.axvline(0, color=INK, linewidth=1)
        for place, (i, _, figures) in enumerate(runs):
            change = figures.rescored_wer - figures.first_pass_wer
            # the interval's ends come from resamples: a very skewed one need not hold the change itself
            ends = [[max(0.0, change - figures.low)], [max(0.0, figures.high - change)]]
            axes.errorbar([change], [place], xerr=ends, color=colour(i), marker=marker(i), capsize=4, linestyle="none")
        axes.set_yticks(range(len(runs)), [label for _, label, _ in runs])
        axes.set_ylim(len(runs) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("change of WER, absolute %; left of the line is better")

    return svg(name, draw, height_inches=1.0 + 0.34 * len(runs))


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _dots(i: int, points: Sequence[object]) -> str:
    """A marker where few points make a line."""
    return marker(i) if len(points) <= 30 else ""


def _system_colour(i: int) -> str:
    """First pass, rescored, oracle: the rescored one as a run alone is drawn."""
    return (SOFT, colour(0), colour(2))[i]


def _span(each: LengthRange) -> str:
    if each.last_words is None:
        return f"{each.first_words}+"
    return f"{each.first_words}–{each.last_words}"


def _wilson(each: PosteriorRange) -> tuple[float, float]:
    """Ends of the 95% interval of a share (Wilson 1927), which stay within 0 and 1."""
    share, count, z = each.best_share, max(1, each.lists), 1.96
    middle = share + z * z / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    return (middle - half) / (1 + z * z / count), (middle + half) / (1 + z * z / count)


def _first_pass_lines(axes: "Axes", runs: Runs) -> None:
    """One line for each first pass that differs."""
    for rate in dict.fromkeys(round(run.sets["dev"].first_pass_wer, 6) for _, run in runs):
        axes.axhline(rate, color=SOFT, linestyle="--", label="first pass")


def _whole_numbers(axes: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _legend_above(panels: "Sequence[Axes]") -> None:
    """One for all panels, each label once."""
    labelled: dict[str, Artist] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            if label:
                labelled.setdefault(label, handle)
    figure = panels[0].get_figure(root=True)
    if figure is not None:
        figure.legend(list(labelled.values()), [*labelled], loc="outside upper left", ncols=8)
