"""Ranks a list by its scores: combined scores, posteriors, and selection by MAP or minimum Bayes risk.

Trainer and server share these pure functions. Scores are natural log, higher is better.

combined_i  = first_pass_i + weight * rescoring_i
posterior_i = exp(scale * combined_i) / sum_j exp(scale * combined_j)

Here i and j run over the distinct texts that have a rescoring score.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

from lorb.errors import InvalidAdapter
from lorb.nbest import DistinctHypothesis, NBest
from lorb.ranked import RankedHypothesis, RescoreOptions, Selection
from lorb.word_errors import word_errors
from lorb_adapters.json_files import Finite, NonNegative, Positive, from_json, to_json

MAX_MBR_HYPOTHESES = 32

LogProbabilities = Annotated[tuple[Finite, ...], Meta(min_length=1)]


@dataclass(frozen=True, slots=True)
class RankPrior:
    """Stands in for first-pass scores in lists without them, and holds the ranking parameters for such lists.

    Attributes:
        log_probabilities: for each rank, the natural log of the probability that the list's best hypothesis has this
            rank. A later rank never has a higher value.
        weight: factor of the rescoring score, 0 or more, tuned on dev with these log probabilities.
        posterior_scale: factor of combined scores in the softmax, above 0, calibrated on dev with these log
            probabilities.
        switching_margin: the lead in combined score that another hypothesis needs to replace the first one.
    """

    log_probabilities: LogProbabilities
    weight: NonNegative
    posterior_scale: Positive
    switching_margin: NonNegative = 0.0

    def scores(self, count: int) -> list[float]:
        """Returns the log probabilities of the first `count` ranks.

        Beyond the fitted ranks the probability falls as 1 / rank.
        """
        known = self.log_probabilities
        last, num_known = known[-1], len(known)
        beyond = [last - math.log((rank + 1) / num_known) for rank in range(num_known, count)]
        return [*known[:count], *beyond]


@dataclass(frozen=True, slots=True)
class Ranking:
    """The parameters of an adapter's ranking, stored in its manifest.

    Attributes:
        weight: factor of the rescoring score (beta), 0 or more, tuned on dev.
        posterior_scale: factor of combined scores in the softmax, above 0, calibrated on dev.
        switching_margin: the lead in combined score that another hypothesis needs to replace the first pass's best;
            0 or more.
        rank_prior: the parameters for lists without first-pass scores.
    """

    weight: NonNegative
    posterior_scale: Positive
    switching_margin: NonNegative
    rank_prior: RankPrior

    def tuned(self, *, has_scores: bool) -> "Ranking | RankPrior":
        """Returns the parameters tuned for lists with first-pass scores, or for lists without."""
        return self if has_scores else self.rank_prior

    def to_json(self) -> dict[str, Any]:
        """Returns the object `ranking` of a manifest."""
        return to_json(self)

    @classmethod
    def from_json(cls, value: object) -> "Ranking":
        """Reads the object `ranking` of a manifest; raises InvalidAdapter that names the field.

        A rank prior without a switching margin, as in the first manifests, has margin 0.
        """
        return from_json(value, cls, "ranking", InvalidAdapter)


def rank(
    nbest: NBest,
    distinct: Sequence[DistinctHypothesis],
    rescoring_scores: Sequence[float],
    truncated: Sequence[bool],
    ranking: Ranking,
    options: RescoreOptions,
) -> tuple[RankedHypothesis, ...]:
    """Ranks a list by its rescoring scores, best first.

    The texts with a rescoring score come first. The other distinct texts follow in first-pass order, without scores.
    Copies of a text come right after it. Their posterior is 0, or None if the text has none.

    distinct: `nbest.distinct()`.
    rescoring_scores: the scores of the first k distinct texts.
    truncated: for each of these k texts, whether it was cut.
    """
    first_pass, weight, scale, margin = _terms(distinct, ranking, options)
    combined = [f + weight * r for f, r in zip(first_pass, rescoring_scores, strict=False)]
    posteriors = softmax([scale * score for score in combined])
    if options.selection is Selection.MBR:
        order = mbr_order([each.transcript for each in distinct], combined, posteriors)
    else:
        order = map_order(combined, margin)
    ranked: list[RankedHypothesis] = []
    for i in order:
        scores = (combined[i], rescoring_scores[i], posteriors[i])
        ranked += _copies(nbest, distinct[i], scores, truncated[i])
    for unscored in distinct[len(combined) :]:
        ranked += _copies(nbest, unscored, None, truncated=False)
    return tuple(ranked[: options.top_n or None])


def rank_by_first_pass(nbest: NBest, options: RescoreOptions) -> tuple[RankedHypothesis, ...]:
    """Returns the list in first-pass order without scores; copies come right after their text."""
    ranked = [each for text in nbest.distinct() for each in _copies(nbest, text, None, truncated=False)]
    return tuple(ranked[: options.top_n or None])


def rank_single_text(nbest: NBest, options: RescoreOptions) -> tuple[RankedHypothesis, ...]:
    """Ranks a list with one distinct text without a model: the text's posterior is 1, its other scores are None."""
    [text] = nbest.distinct()
    ranked = _copies(nbest, text, (None, None, 1.0), truncated=False)
    return tuple(ranked[: options.top_n or None])


def map_order(combined: Sequence[float], switching_margin: float = 0.0) -> list[int]:
    """Returns positions by combined score, highest first; ties keep their order.

    combined: the scores in first-pass order. Position 0 stays first unless the highest score exceeds its score by more
    than `switching_margin`.
    """
    order = sorted(range(len(combined)), key=lambda i: -combined[i])
    if order and order[0] != 0 and combined[order[0]] - combined[0] <= switching_margin:
        order.remove(0)
        order.insert(0, 0)
    return order


def mbr_order(transcripts: Sequence[str], combined: Sequence[float], posteriors: Sequence[float]) -> list[int]:
    """Returns positions by expected word errors under the posterior, fewest first (minimum Bayes risk).

    Only the 32 hypotheses with the highest combined scores are compared with each other. The others follow, ordered by
    combined score. The combined score also breaks ties in expected errors.
    """
    by_score = map_order(combined)
    likeliest = by_score[:MAX_MBR_HYPOTHESES]
    risk = {
        i: sum(posteriors[j] * word_errors(transcripts[j], transcripts[i]) for j in likeliest if j != i)
        for i in likeliest
    }
    return sorted(likeliest, key=risk.__getitem__) + by_score[MAX_MBR_HYPOTHESES:]


def softmax(logits: Sequence[float]) -> list[float]:
    """Returns exp(logit) divided by the sum of exp over all logits, for each logit; finite logits never overflow."""
    highest = max(logits)
    exponentials = [math.exp(logit - highest) for logit in logits]
    total = math.fsum(exponentials)
    return [each / total for each in exponentials]


def first_pass_scores(distinct: Sequence[DistinctHypothesis], prior: RankPrior) -> list[float]:
    """Returns the recogniser's scores, or the prior's log probabilities if the list has no scores."""
    known = [each.first_pass_score for each in distinct if each.first_pass_score is not None]
    return known or prior.scores(len(distinct))


def _terms(
    distinct: Sequence[DistinctHypothesis], ranking: Ranking, options: RescoreOptions
) -> tuple[list[float], float, float, float]:
    """Returns first-pass scores, weight, posterior scale and switching margin.

    For a list without first-pass scores, all four come from the rank prior. A weight in `options` replaces the tuned
    weight.
    """
    tuned = ranking.tuned(has_scores=distinct[0].first_pass_score is not None)
    weight = tuned.weight if options.rescoring_weight is None else options.rescoring_weight
    return first_pass_scores(distinct, ranking.rank_prior), weight, tuned.posterior_scale, tuned.switching_margin


def _copies(
    nbest: NBest,
    text: DistinctHypothesis,
    scores: tuple[float | None, float | None, float] | None,
    truncated: bool,
) -> list[RankedHypothesis]:
    combined, rescoring, posterior = scores or (None, None, None)
    return [
        RankedHypothesis(
            index=position,
            transcript=nbest.hypotheses[position].transcript,
            combined_score=combined,
            rescoring_score=rescoring,
            posterior=posterior if copy == 0 or posterior is None else 0.0,
            truncated=truncated,
            component_scores=nbest.hypotheses[position].component_scores,
        )
        for copy, position in enumerate(text.positions)
    ]
