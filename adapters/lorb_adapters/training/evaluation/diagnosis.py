"""Ranks a set as the server would, and counts what the plots of a report show."""

from collections.abc import Sequence

import numpy as np

from lorb.ranked import RescoreOptions
from lorb_adapters.ranking import Ranking, rank
from lorb_adapters.training.data.encoded_lists import ReferencedList
from lorb_adapters.training.evaluation.evaluation import Evaluation
from lorb_adapters.training.evaluation.set_detail import (
    Depth,
    Example,
    LengthRange,
    PosteriorRange,
    SetDetail,
    WeightPoint,
)
from lorb_adapters.training.evaluation.tuning import WEIGHT_GRID, ScoredList

_FIRST_WORDS = (0, 3, 5, 9, 13, 17, 25, 33)  # of each range of lengths; the last is open
_FEWEST_UTTERANCES = 5
_DEPTHS = (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 100, 200, 500, 1000)
_NUM_POSTERIOR_RANGES = 10
_NUM_EXAMPLES = 8


def diagnose(
    lists: Sequence[ReferencedList],
    scores: Sequence[Sequence[float]],
    ranking: Ranking,
    evaluation: Evaluation,
    *,
    examples: bool,
) -> SetDetail:
    """scores: of each list's distinct texts. evaluation: of the same lists. examples: whether texts may be shown."""
    tops = [_top(each, own, ranking) for each, own in zip(lists, scores, strict=True)]
    chosen = [top for top, _ in tops]
    fixed = [i for i, each in enumerate(lists) if each.errors[chosen[i]] < each.errors[0]]
    broken = [i for i, each in enumerate(lists) if each.errors[chosen[i]] > each.errors[0]]
    return SetDetail(
        by_length=_by_length(evaluation),
        by_depth=_by_depth(lists, scores, ranking),
        by_posterior=_by_posterior(lists, tops),
        fixed=_examples(lists, chosen, fixed) if examples else (),
        broken=_examples(lists, chosen, broken) if examples else (),
    )


def weight_curve(lists: Sequence[ScoredList], num_words: int) -> tuple[WeightPoint, ...]:
    """The word error rate at every weight that tuning tried. num_words: of all references."""
    errors = [(weight, sum(each.chosen_errors(weight) for each in lists)) for weight in WEIGHT_GRID]
    return tuple(WeightPoint(weight, 100 * count / max(1, num_words)) for weight, count in errors)


def _by_length(evaluation: Evaluation) -> tuple[LengthRange, ...]:
    """Ranges with too few utterances to say anything are taken together with the next, the last with the one before."""
    num_needed = max(_FEWEST_UTTERANCES, evaluation.num_utterances // 100)
    starts = [_FIRST_WORDS[0]]
    for first in _FIRST_WORDS[1:]:
        inside = (evaluation.words >= starts[-1]) & (evaluation.words < first)
        if inside.sum() >= num_needed and (evaluation.words >= first).sum() >= num_needed:
            starts.append(first)
    ranges = []
    for first, after in zip(starts, [*starts[1:], None], strict=True):
        inside = (evaluation.words >= first) & (evaluation.words < (np.inf if after is None else after))
        sums = (
            int(counts[inside].sum())
            for counts in (evaluation.words, evaluation.first_pass, evaluation.rescored, evaluation.oracle)
        )
        ranges.append(LengthRange(first, None if after is None else after - 1, int(inside.sum()), *sums))
    return tuple(ranges)


def _by_depth(
    lists: Sequence[ReferencedList], scores: Sequence[Sequence[float]], ranking: Ranking
) -> tuple[Depth, ...]:
    deepest = max(len(each.errors) for each in lists)
    depths = [depth for depth in _DEPTHS if depth < deepest]
    return tuple(
        Depth(
            depth,
            sum(each.errors[_top(each, own, ranking, depth)[0]] for each, own in zip(lists, scores, strict=True)),
            sum(min(each.errors[:depth]) for each in lists),
        )
        for depth in (*depths, deepest)
    )


def _by_posterior(lists: Sequence[ReferencedList], tops: Sequence[tuple[int, float]]) -> tuple[PosteriorRange, ...]:
    found: list[list[tuple[float, bool]]] = [[] for _ in range(_NUM_POSTERIOR_RANGES)]
    for each, (chosen, posterior) in zip(lists, tops, strict=True):
        if len(each.errors) > 1:
            place = min(int(posterior * _NUM_POSTERIOR_RANGES), _NUM_POSTERIOR_RANGES - 1)
            found[place].append((posterior, each.errors[chosen] == min(each.errors)))
    return tuple(
        PosteriorRange(
            i / _NUM_POSTERIOR_RANGES,
            (i + 1) / _NUM_POSTERIOR_RANGES,
            len(inside),
            sum(posterior for posterior, _ in inside) / len(inside),
            sum(is_best for _, is_best in inside) / len(inside),
        )
        for i, inside in enumerate(found)
        if inside
    )


def _examples(lists: Sequence[ReferencedList], chosen: Sequence[int], places: Sequence[int]) -> tuple[Example, ...]:
    """A few of `places`, evenly spaced over the set: no choice of the best or the worst."""
    count = min(len(places), _NUM_EXAMPLES)
    examples = []
    for i in (places[k * len(places) // count] for k in range(count)):
        each, top = lists[i], chosen[i]
        examples.append(
            Example(
                each.nbest.id,
                each.nbest.reference or "",
                each.distinct[0].transcript,
                each.errors[0],
                each.distinct[top].transcript,
                each.errors[top],
            )
        )
    return tuple(examples)


def _top(
    each: ReferencedList, scores: Sequence[float], ranking: Ranking, depth: int | None = None
) -> tuple[int, float]:
    """Which distinct text ranking puts first, of the first `depth`, and its posterior."""
    scored = scores[:depth]
    first = rank(each.nbest, each.distinct, scored, [False] * len(scored), ranking, RescoreOptions())[0]
    chosen = next(i for i, text in enumerate(each.distinct) if first.index in text.positions)
    return chosen, first.posterior if first.posterior is not None else 1.0
