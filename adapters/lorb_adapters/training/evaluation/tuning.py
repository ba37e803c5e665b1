"""Tuning on dev what an adapter knows about ranking: weights, posterior scales, switching margins."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lorb_adapters.ranking import Ranking, RankPrior, map_order, softmax
from lorb_adapters.training.data.encoded_lists import ReferencedList, training_first_pass

# 0 keeps the first pass; the rest is spaced evenly in the logarithm from 0.05 to 8.
WEIGHT_GRID: tuple[float, ...] = (0.0, *(0.05 * 160.0 ** (i / 40) for i in range(41)))
SCALE_GRID: tuple[float, ...] = tuple(0.02 * 1000.0 ** (i / 60) for i in range(61))


@dataclass(frozen=True, slots=True)
class ScoredList:
    """What ranking needs of one list, hypotheses in first-pass order.

    Attributes:
        first_pass: natural log.
        rescoring: natural log scale.
        errors: counts.
    """

    first_pass: Sequence[float]
    rescoring: Sequence[float]
    errors: Sequence[int]

    def combined(self, weight: float) -> list[float]:
        """First pass + weight * rescoring."""
        return [f + weight * r for f, r in zip(self.first_pass, self.rescoring, strict=True)]

    def posteriors(self, weight: float, scale: float) -> list[float]:
        """softmax(scale * combined), 0 to 1."""
        return softmax([scale * score for score in self.combined(weight)])

    def chosen(self, weight: float, switching_margin: float = 0.0) -> int:
        """Position of the hypothesis that ranking puts first."""
        return map_order(self.combined(weight), switching_margin)[0]

    def chosen_errors(self, weight: float) -> int:
        """Word errors of the hypothesis that ranking puts first, without a switching margin."""
        return self.errors[self.chosen(weight)]


def scored(
    lists: Sequence[ReferencedList],
    scores: Sequence[Sequence[float]],
    prior: RankPrior,
    *,
    use_prior: bool = False,
) -> list[ScoredList]:
    """Puts lists and their rescoring scores together; `use_prior` hides the recogniser's scores."""
    return [
        ScoredList(
            prior.scores(len(each.distinct)) if use_prior else training_first_pass(each, prior),
            rescoring,
            each.errors,
        )
        for each, rescoring in zip(lists, scores, strict=True)
    ]


def tune_weight(lists: Sequence[ScoredList]) -> float:
    """The weight with the fewest word errors; among equals the middle one, which is the safest."""
    contrasting = [each for each in lists if len(set(each.errors)) > 1]
    errors = [sum(each.chosen_errors(weight) for each in contrasting) for weight in WEIGHT_GRID]
    best = [weight for weight, count in zip(WEIGHT_GRID, errors, strict=True) if count == min(errors)]
    return best[len(best) // 2]


def tune_posterior_scale(lists: Sequence[ScoredList], weight: float) -> float:
    """The scale whose posteriors give the hypotheses with the fewest errors the highest likelihood."""
    contrasting = [each for each in lists if len(set(each.errors)) > 1]
    combined = [each.combined(weight) for each in contrasting]

    def negative_log_likelihood(scale: float) -> float:
        total = 0.0
        for each, scores in zip(contrasting, combined, strict=True):
            posteriors = softmax([scale * score for score in scores])
            fewest = min(each.errors)
            likelihood = sum(p for p, e in zip(posteriors, each.errors, strict=True) if e == fewest)
            total -= math.log(max(likelihood, 1e-30))
        return total

    return _refined(negative_log_likelihood, SCALE_GRID)


def tune_switching_margin(lists: Sequence[ScoredList], weight: float) -> float:
    """The largest margin whose switches given up saved no word error on dev, all in all; 0 where there is none.

    A switch is a list in which another hypothesis than the first pass's best comes first. Of margins that cost no word
    error on dev this one breaks the fewest lists, and where a model is of no use it keeps the first pass altogether.
    The sample of LibriSpeech argued for it: with each of dev's four speakers held out in turn, over three seeds,
    it saved as many word errors as no margin (53) and broke 49 lists, not 53. The largest margin within one standard
    error of that broke 39, but saved 41 word errors alone.
    """
    switches = sorted(_switches(lists, weight))
    margin, saved = 0.0, 0
    for switch, larger in zip(switches, [*switches, None][1:], strict=True):
        saved += switch.gain
        if saved <= 0 and (larger is None or larger.lead > switch.lead):
            margin = switch.lead if larger is None else _between(switch.lead, larger.lead)
    return margin


def _between(lower: float, upper: float) -> float:
    """The middle, or `lower` where no number lies between."""
    middle = lower + (upper - lower) / 2
    return middle if middle < upper else lower


@dataclass(frozen=True, slots=True, order=True)
class _Switch:
    """A list in which another hypothesis than the first pass's best comes first.

    Attributes:
        lead: its combined score minus that of the first pass's best, natural log scale, above 0.
        gain: word errors that it saves; below 0 if it makes more.
    """

    lead: float
    gain: int


def _switches(lists: Sequence[ScoredList], weight: float) -> list[_Switch]:
    switches = []
    for each in lists:
        combined = each.combined(weight)
        first = map_order(combined)[0]
        if first:
            switches.append(_Switch(combined[first] - combined[0], each.errors[0] - each.errors[first]))
    return switches


def _refined(objective: Callable[[float], float], grid: Sequence[float]) -> float:
    """The best of a coarse grid (every sixth value), then of the fine values around it."""
    coarse = min(range(0, len(grid), 6), key=lambda i: objective(grid[i]))
    around = range(max(0, coarse - 5), min(len(grid), coarse + 6))
    return grid[min(around, key=lambda i: objective(grid[i]))]


def tune_ranking(
    lists: Sequence[ReferencedList],
    scores: Sequence[Sequence[float]],
    prior: RankPrior,
    *,
    uses_switching_margin: bool = True,
) -> Ranking:
    """Weight, scale and margin for lists with first-pass scores, and the rank prior's own for lists without.

    The former are tuned on lists that have scores, if any do; the latter on all, for a list whose scores are hidden is
    one without, and more lists tune better.
    """
    own = [i for i, each in enumerate(lists) if each.nbest.has_scores] or range(len(lists))
    with_scores = scored([lists[i] for i in own], [scores[i] for i in own], prior)
    without = scored(lists, scores, prior, use_prior=True)
    weight, prior_weight = tune_weight(with_scores), tune_weight(without)
    return Ranking(
        weight=weight,
        posterior_scale=tune_posterior_scale(with_scores, weight),
        switching_margin=tune_switching_margin(with_scores, weight) if uses_switching_margin else 0.0,
        rank_prior=replace(
            prior,
            weight=prior_weight,
            posterior_scale=tune_posterior_scale(without, prior_weight),
            switching_margin=tune_switching_margin(without, prior_weight) if uses_switching_margin else 0.0,
        ),
    )
