"""The plots of a report's pages: each function returns an <svg> element; several runs share one plot."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lorb_adapters.training.evaluation.set_figures import LengthRange, PosteriorRange, SetBreakdown, SetFigures
from lorb_adapters.training.report.report import Report
from lorb_adapters.training.report.svg import INK, SOFT, colour, dash, marker, svg

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

Runs = Sequence[tuple[str, Report]]  # label and report of each run
_SYSTEMS = ("first pass", "rescored", "oracle")
_RING: dict[str, Any] = {"marker": "o", "markersize": 11, "fillstyle": "none", "linestyle": "none"}
_WEIGHT_TICKS = (0, 0.1, 0.2, 0.5, 1, 2, 5)


def losses(runs: Runs) -> str:
    """Draws each loss by step. Each has a panel of its own, because the losses have different scales."""
    names = list(dict.fromkeys(name for _, run in runs for point in run.losses for name in point.losses))

    def draw(panels: "list[Axes]") -> None:
        for axes, name in zip(panels, names, strict=True):
            for i, (label, run) in enumerate(runs):
                points = [(p.step, _nan_if_none(p.losses[name])) for p in run.losses if name in p.losses]
                axes.plot(
                    *_columns(points), color=colour(i), linestyle=dash(i), label=label, marker=_markers(i, points)
                )
            axes.set_title(name.replace("_", "-") if name == "r_drop" else name, loc="left")
        panels[-1].set_xlabel("step")
        _whole_numbers(panels[-1])
        if len(runs) > 1:
            _legend_above(panels)

    return svg("losses", draw, panels=len(names), height_inches=1.0 + 1.45 * len(names))


def dev_curve(runs: Runs) -> str:
    """Draws dev's word error rate at each evaluation; a ring marks the best evaluation."""

    def draw(panels: "list[Axes]") -> None:
        [axes] = panels
        _draw_first_pass(axes, runs)
        for i, (label, run) in enumerate(runs):
            points = [(each.step, each.wer) for each in run.dev]
            axes.plot(*_columns(points), color=colour(i), linestyle=dash(i), marker=marker(i), label=label)
            best = [(each.step, each.wer) for each in run.dev if each.is_best][-1:]
            axes.plot(*_columns(best), color=colour(i), **_RING)
        axes.set_xlabel("step")
        axes.set_ylabel("WER on dev, %")
        _whole_numbers(axes)
        _legend_above([axes])

    return svg("dev-curve", draw)


def weights(runs: Runs) -> str:
    """Draws dev's word error rate by the weight on the rescoring score; a ring marks the tuned weight."""

    def draw(panels: "list[Axes]") -> None:
        [axes] = panels
        _draw_first_pass(axes, runs)
        for i, (label, run) in enumerate(runs):
            points = [(point.weight, point.wer) for point in run.weight_curve]
            axes.plot(*_columns(points), color=colour(i), linestyle=dash(i), label=label)
            tuned = min(run.weight_curve, key=lambda point: abs(point.weight - run.ranking.weight), default=None)
            if tuned is not None:
                axes.plot([tuned.weight], [tuned.wer], color=colour(i), **_RING)
        axes.set_xscale("symlog", linthresh=0.05, linscale=0.35)
        axes.set_xticks(_WEIGHT_TICKS, [f"{tick:g}" for tick in _WEIGHT_TICKS])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("weight on the rescoring score")
        axes.set_ylabel("WER on dev, %")
        _legend_above([axes])

    return svg("weights", draw)


def by_length(name: str, ranges: Sequence[LengthRange]) -> str:
    """Draws the word error rates by the number of words in the reference."""

    def draw(panels: "list[Axes]") -> None:
        [axes] = panels
        counts = ([r.first_pass_errors for r in ranges], [r.rescored_errors for r in ranges],
                  [r.oracle_errors for r in ranges])  # fmt: skip
        for i, (system, errors) in enumerate(zip(_SYSTEMS, counts, strict=True)):
            rates = [100 * count / max(1, r.words) for count, r in zip(errors, ranges, strict=True)]
            places = [place + 0.27 * (i - 1) for place in range(len(ranges))]
            axes.bar(places, rates, width=0.25, color=_system_colour(i), label=system)
        axes.set_xticks(range(len(ranges)), [f"{_word_range(r)}\n{r.utterances:,}" for r in ranges])
        axes.grid(visible=False, axis="x")
        axes.set_xlabel("words in the reference, and number of utterances")
        axes.set_ylabel("WER, %")
        _legend_above([axes])

    return svg(name, draw)


def by_depth(name: str, figures: SetBreakdown) -> str:
    """Draws the word error rates by N if only the first N hypotheses of each list are scored."""

    def draw(panels: "list[Axes]") -> None:
        [axes] = panels
        depths = figures.by_depth
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
    """Draws how often the top hypothesis is the best of its list, by its posterior; below, the number of lists."""

    def draw(panels: "list[Axes]") -> None:
        upper, lower = panels
        upper.plot([0, 1], [0, 1], color=SOFT, linestyle="--", label="calibrated")
        points = [(each.mean_posterior, each.best_share) for each in ranges]
        intervals = [_wilson_interval(each) for each in ranges]
        below = [max(0.0, r.best_share - low) for r, (low, _) in zip(ranges, intervals, strict=True)]
        above = [max(0.0, high - r.best_share) for r, (_, high) in zip(ranges, intervals, strict=True)]
        upper.errorbar(*_columns(points), yerr=[below, above], color=colour(0), marker="o", capsize=3, label="rescored")
        upper.set_ylim(0, 1.02)
        upper.set_ylabel("accuracy")
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
    """Draws each run's change in word error rate from the first pass, with its 95% interval.

    runs: number (which decides the colour), label and figures of each run.
    """

    def draw(panels: "list[Axes]") -> None:
        [axes] = panels
        axes.axvline(0, color=INK, linewidth=1)
        for place, (i, _, figures) in enumerate(runs):
            low, high = figures.change_interval
            # a very skewed bootstrap interval may not contain the change, and lengths must not be negative
            ends = [[max(0.0, figures.change - low)], [max(0.0, high - figures.change)]]
            axes.errorbar(
                [figures.change], [place], xerr=ends, color=colour(i), marker=marker(i), capsize=4, linestyle="none"
            )
        axes.set_yticks(range(len(runs)), [label for _, label, _ in runs])
        axes.set_ylim(len(runs) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("change of WER, absolute %; left of the line is better")

    return svg(name, draw, height_inches=1.0 + 0.34 * len(runs))


def _nan_if_none(value: float | None) -> float:
    return math.nan if value is None else value


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _markers(i: int, points: Sequence[object]) -> str:
    """Returns the marker of line i if the line has few points, else no marker."""
    return marker(i) if len(points) <= 30 else ""


def _system_colour(i: int) -> str:
    """Returns the colour of system i: first pass, rescored or oracle. Rescored has the colour of the first run."""
    return (SOFT, colour(0), colour(2))[i]


def _word_range(each: LengthRange) -> str:
    if each.last_words is None:
        return f"{each.first_words}+"
    return f"{each.first_words}–{each.last_words}"


def _wilson_interval(each: PosteriorRange) -> tuple[float, float]:
    """Returns the 95% interval of `best_share` (Wilson 1927); both of its ends are between 0 and 1."""
    share, count, z = each.best_share, max(1, each.lists), 1.96
    middle = share + z * z / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    return (middle - half) / (1 + z * z / count), (middle + half) / (1 + z * z / count)


def _draw_first_pass(axes: "Axes", runs: Runs) -> None:
    """Draws one line for each distinct first-pass WER."""
    for rate in dict.fromkeys(round(run.sets["dev"].first_pass_wer, 6) for _, run in runs):
        axes.axhline(rate, color=SOFT, linestyle="--", label="first pass")


def _whole_numbers(axes: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _legend_above(panels: "Sequence[Axes]") -> None:
    """Draws one legend for all panels; each label appears once."""
    labelled: dict[str, Artist] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            if label:
                labelled.setdefault(label, handle)
    figure = panels[0].get_figure(root=True)
    if figure is not None:
        figure.legend(list(labelled.values()), [*labelled], loc="outside upper left", ncols=8)
