"""Tunes on dev how an adapter's scores are ranked: weight, posterior scale and switching margin."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lorb_adapters.ranking import Ranking, RankPrior, first_pass_scores, map_order, softmax
from lorb_adapters.training.data.encoded_lists import EncodedList

# Weight 0 keeps the first pass's order; the logarithms of the other weights are evenly spaced from log 0.05 to log 8.
WEIGHT_GRID: tuple[float, ...] = (0.0, *(0.05 * 160.0 ** (i / 40) for i in range(41)))
SCALE_GRID: tuple[float, ...] = tuple(0.02 * 1000.0 ** (i / 60) for i in range(61))
UNTUNED_SCALE = 1.0  # the posterior scale if no dev list has contrast, so that nothing can be calibrated
_COARSE_STEP = 6  # the first search tries every sixth value of a grid


@dataclass(frozen=True, slots=True)
class ScoredList:
    """Scores and word errors of one list's distinct hypotheses, in first-pass order.

    Attributes:
        first_pass: first-pass scores, natural log.
        rescoring: rescoring scores, natural log.
        errors: word error counts.
    """

    first_pass: Sequence[float]
    rescoring: Sequence[float]
    errors: Sequence[int]

    @property
    def has_contrast(self) -> bool:
        """Whether the hypotheses differ in word errors."""
        return len(set(self.errors)) > 1

    def combined(self, weight: float) -> list[float]:
        """Returns first-pass score + weight * rescoring score of each hypothesis."""
        return [f + weight * r for f, r in zip(self.first_pass, self.rescoring, strict=True)]

    def posteriors(self, weight: float, scale: float) -> list[float]:
        """Returns the posterior of each hypothesis: softmax(scale * combined score), 0 to 1."""
        return softmax([scale * score for score in self.combined(weight)])

    def top(self, weight: float, switching_margin: float = 0.0) -> int:
        """Returns the position of the hypothesis that is ranked first."""
        return map_order(self.combined(weight), switching_margin)[0]

    def top_errors(self, weight: float) -> int:
        """Returns the word errors of the hypothesis that is ranked first without a switching margin."""
        return self.errors[self.top(weight)]


@dataclass(frozen=True, slots=True)
class WeightPoint:
    """A weight on the rescoring score, and the word error rate of a set with this weight, per cent."""

    weight: float
    wer: float


def scored_lists(
    lists: Sequence[EncodedList],
    scores: Sequence[Sequence[float]],
    prior: RankPrior,
    *,
    use_prior: bool = False,
) -> list[ScoredList]:
    """Combines lists with their rescoring scores.

    scores: rescoring scores of each list's distinct hypotheses, natural log. prior: gives the first-pass scores of
    lists without scores; with `use_prior`, of all lists.
    """
    return [
        ScoredList(
            prior.scores(len(each.distinct)) if use_prior else first_pass_scores(each.distinct, prior),
            rescoring,
            each.errors,
        )
        for each, rescoring in zip(lists, scores, strict=True)
    ]


def errors_by_weight(lists: Sequence[ScoredList]) -> np.ndarray:
    """Returns the word errors of each list's top hypothesis at each weight of the grid, [weights, lists].

    The top hypothesis is chosen without a switching margin, as `ScoredList.top` chooses it.
    """
    depth = max((len(each.errors) for each in lists), default=0)
    first_pass = np.full((len(lists), depth), -np.inf)  # a hypothesis that a shorter list lacks never leads
    rescoring, errors = np.zeros((len(lists), depth)), np.zeros((len(lists), depth), dtype=np.int64)
    for i, each in enumerate(lists):
        size = len(each.errors)
        first_pass[i, :size], rescoring[i, :size], errors[i, :size] = each.first_pass, each.rescoring, each.errors
    rows = np.arange(len(lists))
    by_weight = np.zeros((len(WEIGHT_GRID), len(lists)), dtype=np.int64)
    if len(lists):
        for i, weight in enumerate(WEIGHT_GRID):
            by_weight[i] = errors[rows, (first_pass + weight * rescoring).argmax(axis=1)]
    return by_weight


def weight_curve(lists: Sequence[ScoredList], num_words: int) -> tuple[WeightPoint, ...]:
    """Returns the word error rate at every weight of the grid. num_words: number of words in all references."""
    errors = errors_by_weight(lists).sum(axis=1).tolist()
    return tuple(
        WeightPoint(weight, 100 * count / max(1, num_words)) for weight, count in zip(WEIGHT_GRID, errors, strict=True)
    )


def tune_weight(lists: Sequence[ScoredList]) -> float:
    """Returns the weight of the grid with the fewest word errors; if several have the fewest, the middle one."""
    errors = errors_by_weight(lists).sum(axis=1).tolist()
    best = [weight for weight, count in zip(WEIGHT_GRID, errors, strict=True) if count == min(errors)]
    return best[len(best) // 2]


def tune_posterior_scale(lists: Sequence[ScoredList], weight: float) -> float:
    """Returns the scale of the grid at which the product of the lists' likelihoods is highest.

    The likelihood of a list is the sum of the posteriors of its best hypotheses: those with its fewest word errors.
    Without a list with contrast every scale is as good as any other; the scale is then 1.
    """
    contrasting = [each for each in lists if each.has_contrast]
    if not contrasting:
        return UNTUNED_SCALE
    combined = [each.combined(weight) for each in contrasting]

    def negative_log_likelihood(scale: float) -> float:
        total = 0.0
        for each, scores in zip(contrasting, combined, strict=True):
            posteriors = softmax([scale * score for score in scores])
            min_errors = min(each.errors)
            likelihood = sum(p for p, e in zip(posteriors, each.errors, strict=True) if e == min_errors)
            total -= math.log(max(likelihood, 1e-30))
        return total

    return _grid_minimum(negative_log_likelihood, SCALE_GRID)


def tune_switching_margin(lists: Sequence[ScoredList], weight: float) -> float:
    """Returns the largest margin that adds no word errors on dev; 0 if every margin adds some.

    A switch is a list whose top hypothesis is not the first pass's best. A margin undoes the switches with smaller
    leads, and so adds no word errors if these switches together save none. Of all such margins, the largest worsens the
    fewest lists. If the model does not help, this margin keeps the first pass in every list.

    This choice was measured on the LibriSpeech sample, with each of dev's four speakers held out in turn, over three
    seeds. This margin saved as many word errors as no margin (53), and worsened 49 lists instead of 53. The largest
    margin within one standard error of the best worsened 39 lists, but saved only 41 word errors.
    """
    switches = sorted(_switches(lists, weight))
    margin, saved = 0.0, 0
    for switch, larger in zip(switches, [*switches, None][1:], strict=True):
        saved += switch.saved_errors
        if saved <= 0 and (larger is None or larger.lead > switch.lead):
            margin = switch.lead if larger is None else _midpoint(switch.lead, larger.lead)
    return margin


def tune_ranking(
    lists: Sequence[EncodedList],
    scores: Sequence[Sequence[float]],
    prior: RankPrior,
    *,
    uses_switching_margin: bool = True,
    calibrates: bool = True,
) -> Ranking:
    """Returns weight, scale and margin for lists with first-pass scores; its rank prior has those for other lists.

    The values for lists with first-pass scores are tuned on such lists, or on all lists if none has scores. The values
    in the rank prior are tuned on all lists, ignoring first-pass scores, because more lists tune better.

    calibrates: whether the posterior scales are tuned; they do not change which hypothesis has the highest combined
    score. Otherwise they are 1.
    """
    with_scores = [i for i, each in enumerate(lists) if each.nbest.has_scores] or range(len(lists))
    scored = scored_lists([lists[i] for i in with_scores], [scores[i] for i in with_scores], prior)
    unscored = scored_lists(lists, scores, prior, use_prior=True)

    def tune(tuned_on: Sequence[ScoredList]) -> tuple[float, float, float]:
        weight = tune_weight(tuned_on)
        return (
            weight,
            tune_posterior_scale(tuned_on, weight) if calibrates else UNTUNED_SCALE,
            tune_switching_margin(tuned_on, weight) if uses_switching_margin else 0.0,
        )

    return Ranking(*tune(scored), RankPrior(prior.log_probabilities, *tune(unscored)))


@dataclass(frozen=True, slots=True, order=True)
class _Switch:
    """A list whose top hypothesis is not the first pass's best.

    Attributes:
        lead: the top hypothesis' combined score minus the combined score of the first pass's best, natural log,
            above 0.
        saved_errors: word errors that the switch saves; below 0 if the switch adds errors.
    """

    lead: float
    saved_errors: int


def _switches(lists: Sequence[ScoredList], weight: float) -> list[_Switch]:
    switches = []
    for each in lists:
        combined = each.combined(weight)
        top = map_order(combined)[0]
        if top:
            switches.append(_Switch(combined[top] - combined[0], each.errors[0] - each.errors[top]))
    return switches


def _midpoint(lower: float, upper: float) -> float:
    """Returns the midpoint, or `lower` if there is no float between the two."""
    middle = lower + (upper - lower) / 2
    return middle if middle < upper else lower


def _grid_minimum(objective: Callable[[float], float], grid: Sequence[float]) -> float:
    """Returns the grid value with the lowest objective. Tries every sixth value, then those around the best of them."""
    coarse = min(range(0, len(grid), _COARSE_STEP), key=lambda i: objective(grid[i]))
    around = range(max(0, coarse - _COARSE_STEP + 1), min(len(grid), coarse + _COARSE_STEP))
    return grid[min(around, key=lambda i: objective(grid[i]))]
