"""Breaks the word errors of a set down by utterance length, list depth and posterior, and picks examples."""

from collections.abc import Sequence

import numpy as np
from msgspec.structs import asdict

from lorb.ranked import RescoreOptions
from lorb_adapters.ranking import Ranking, rank
from lorb_adapters.training.data.encoded_lists import EncodedList
from lorb_adapters.training.evaluation.calibration import NUM_BINS, list_posteriors, numbered_bins
from lorb_adapters.training.evaluation.evaluation import Evaluation, evaluate
from lorb_adapters.training.evaluation.set_figures import (
    DepthErrors,
    Example,
    LengthRange,
    PosteriorRange,
    SetBreakdown,
)

_FIRST_WORDS = (0, 3, 5, 9, 13, 17, 25, 33)  # smallest length of each range, in words
_MIN_UTTERANCES = 5
_DEPTHS = (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 100, 200, 500, 1000)
_NUM_EXAMPLES = 8


def break_down(
    lists: Sequence[EncodedList],
    scores: Sequence[Sequence[float]],
    ranking: Ranking,
    *,
    examples: bool,
) -> SetBreakdown:
    """Returns the figures of a set with their breakdown; lists are ranked as the server ranks them.

    scores: rescoring scores of each list's distinct hypotheses, natural log. examples: whether to include texts of
    lists that rescoring improved or worsened.
    """
    evaluation = evaluate(lists, scores, ranking)
    chosen = [_top(each, list_scores, ranking) for each, list_scores in zip(lists, scores, strict=True)]
    improved = [i for i, each in enumerate(lists) if each.errors[chosen[i]] < each.errors[0]]
    worsened = [i for i, each in enumerate(lists) if each.errors[chosen[i]] > each.errors[0]]
    return SetBreakdown(
        **asdict(evaluation.figures()),
        by_length=_by_length(evaluation),
        by_depth=_by_depth(lists, scores, ranking),
        by_posterior=_by_posterior(lists, scores, ranking),
        improved=_examples(lists, chosen, improved) if examples else (),
        worsened=_examples(lists, chosen, worsened) if examples else (),
    )


def _by_length(evaluation: Evaluation) -> tuple[LengthRange, ...]:
    """Returns the word errors by range of lengths; a range with too few utterances is merged with its neighbour."""
    min_utterances = max(_MIN_UTTERANCES, evaluation.num_utterances // 100)
    starts = [_FIRST_WORDS[0]]
    for first in _FIRST_WORDS[1:]:
        inside = (evaluation.words >= starts[-1]) & (evaluation.words < first)
        if inside.sum() >= min_utterances and (evaluation.words >= first).sum() >= min_utterances:
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
    lists: Sequence[EncodedList], scores: Sequence[Sequence[float]], ranking: Ranking
) -> tuple[DepthErrors, ...]:
    max_depth = max(len(each.errors) for each in lists)
    depths = [depth for depth in _DEPTHS if depth < max_depth]
    return tuple(
        DepthErrors(
            depth,
            sum(
                each.errors[_top(each, list_scores, ranking, depth)]
                for each, list_scores in zip(lists, scores, strict=True)
            ),
            sum(min(each.errors[:depth]) for each in lists),
        )
        for depth in (*depths, max_depth)
    )


def _by_posterior(
    lists: Sequence[EncodedList], scores: Sequence[Sequence[float]], ranking: Ranking
) -> tuple[PosteriorRange, ...]:
    bins = numbered_bins(list_posteriors(lists, scores, ranking), [each.errors for each in lists])
    return tuple(
        PosteriorRange(i / NUM_BINS, (i + 1) / NUM_BINS, each.num_lists, each.confidence, each.accuracy)
        for i, each in bins
    )


def _examples(lists: Sequence[EncodedList], tops: Sequence[int], candidates: Sequence[int]) -> tuple[Example, ...]:
    """Returns up to `_NUM_EXAMPLES` of the lists at positions `candidates`; they are evenly spaced, not hand-picked."""
    count = min(len(candidates), _NUM_EXAMPLES)
    examples = []
    for i in (candidates[k * len(candidates) // count] for k in range(count)):
        each, top = lists[i], tops[i]
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


def _top(each: EncodedList, scores: Sequence[float], ranking: Ranking, depth: int | None = None) -> int:
    """Returns the position of the hypothesis that is ranked first if only the first `depth` are scored."""
    scored = scores[:depth]
    first = rank(each.nbest, each.distinct, scored, [False] * len(scored), ranking, RescoreOptions())[0]
    return next(i for i, text in enumerate(each.distinct) if first.index in text.positions)
