"""Cross-fits dev: each list is ranked with an evaluation, weight and margin chosen on the other folds."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from msgspec import Struct

from lorb_adapters.json_files import Count
from lorb_adapters.ranking import Ranking, RankPrior
from lorb_adapters.training.data.encoded_lists import EncodedList
from lorb_adapters.training.evaluation.evaluation import evaluate_each
from lorb_adapters.training.evaluation.folds import fold_numbers, groups_by_id
from lorb_adapters.training.evaluation.set_figures import SetFigures
from lorb_adapters.training.evaluation.tuning import errors_by_weight, scored_lists, tune_ranking

Scores = Sequence[Sequence[float]]


class CrossFit(Struct, frozen=True):
    """Figures of dev in which no list is measured with a choice that it took part in.

    Attributes:
        folds: number of folds.
        groups: number of speakers or dialogues, as far as the ids tell them; the number of lists otherwise.
        evaluations: number of evaluations during training between which each fold's ranking chose.
        figures: figures of the held-out decisions of all folds together.
    """

    folds: Count
    groups: Count
    evaluations: Count
    figures: SetFigures


def cross_fit(
    lists: Sequence[EncodedList],
    evaluations: Sequence[Scores],
    prior: RankPrior,
    *,
    uses_switching_margin: bool = True,
) -> CrossFit:
    """Ranks the lists of each fold with what is chosen on all other folds, as training chooses on all of dev.

    Chosen are the evaluation with the fewest word errors, the weight and the switching margin. The posterior scale does
    not change which hypothesis has the highest combined score. A list that has no other fold keeps its first pass.

    evaluations: the rescoring scores of each list's distinct hypotheses, natural log, at each evaluation of training.
    prior: fitted on the train lists.
    """
    groups = groups_by_id([each.nbest.id for each in lists])
    folds = np.array(fold_numbers(groups))
    errors = [errors_by_weight(scored_lists(lists, scores, prior)) for scores in evaluations]
    rankings = [Ranking(0.0, 1.0, 0.0, replace(prior, weight=0.0))] * len(lists)
    scores = list(evaluations[0])
    for fold in range(folds.max() + 1):
        others = np.flatnonzero(folds != fold).tolist()
        if not others:
            continue
        best = min(range(len(evaluations)), key=lambda i: errors[i][:, others].sum(axis=1).min())
        ranking = tune_ranking(
            [lists[i] for i in others],
            [evaluations[best][i] for i in others],
            prior,
            uses_switching_margin=uses_switching_margin,
            calibrates=False,
        )
        for i in np.flatnonzero(folds == fold).tolist():
            rankings[i], scores[i] = ranking, evaluations[best][i]
    evaluation = evaluate_each(lists, scores, rankings)
    return CrossFit(
        folds=int(folds.max()) + 1,
        groups=len(set(groups)),
        evaluations=len(evaluations),
        figures=evaluation.figures(),
    )
