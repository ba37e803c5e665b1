"""First-pass scores of the train lists: their statistics, and the rank prior for lists without scores."""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import fmean, pstdev

from lorb.score_checks import IMPOSSIBLE_GAP
from lorb_adapters.ranking import RankPrior
from lorb_adapters.training.data.encoded_lists import EncodedList


def fit_rank_prior(lists: Sequence[EncodedList]) -> RankPrior:
    """Fits the probability that the hypothesis at each rank has the fewest errors of its list; ties go to the first.

    Counts have add-one smoothing, and the probabilities never rise with the rank. Weight and posterior scale are 1
    until they are tuned on dev.
    """
    best_ranks = Counter(min(range(len(each.errors)), key=each.errors.__getitem__) for each in lists)
    depth = max(len(each.errors) for each in lists)
    total = len(lists) + depth
    log_probabilities: list[float] = []
    for rank in range(depth):
        log_probability = math.log((best_ranks[rank] + 1) / total)
        log_probabilities.append(min([log_probability, *log_probabilities[-1:]]))
    return RankPrior(tuple(log_probabilities), weight=1.0, posterior_scale=1.0)


def first_pass_statistics(lists: Sequence[EncodedList]) -> dict[str, float]:
    """Returns statistics of the first-pass scores; a server compares live scores with them to detect a changed scale.

    Scores more than `IMPOSSIBLE_GAP` below the list's best are decoders' marks, not scores: they are left out.
    """
    scored = [_plausible_scores(each) for each in lists if each.nbest.has_scores]
    statistics = {
        "scored_fraction": len(scored) / len(lists),
        "mean_hypotheses": fmean(len(each.distinct) for each in lists),
    }
    if scored:
        all_scores = [score for scores in scored for score in scores]
        behind_best = [scores[0] - score for scores in scored for score in scores[1:]]
        statistics |= {"mean": fmean(all_scores), "std": pstdev(all_scores)}
        statistics |= {"mean_behind_best": fmean(behind_best)} if behind_best else {}
    return statistics


def _plausible_scores(each: EncodedList) -> list[float]:
    scores = [h.first_pass_score for h in each.distinct if h.first_pass_score is not None]
    best = max(scores)
    return [score for score in scores if best - score <= IMPOSSIBLE_GAP]
