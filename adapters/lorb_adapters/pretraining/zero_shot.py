"""Evaluates a base on lists without an adapter, with ranking weights tuned on other lists."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lorb_adapters.training.data.encoded_lists import EncodedList
from lorb_adapters.training.data.first_pass import fit_rank_prior
from lorb_adapters.training.evaluation.evaluation import Evaluation, evaluate
from lorb_adapters.training.evaluation.tuning import tune_ranking


@dataclass(frozen=True, slots=True)
class ZeroShotEvaluation:
    """Word errors of a base on dev lists. Each half of the lists is ranked with a weight tuned on the other half.

    Attributes:
        evaluation: the word errors of both halves together.
        weights: factors of the rescoring score (`Ranking.weight`), tuned on the first half and on the second half.
    """

    evaluation: Evaluation
    weights: tuple[float, float]

    @classmethod
    def measure(cls, lists: Sequence[EncodedList], scores: Sequence[Sequence[float]]) -> "ZeroShotEvaluation":
        """Evaluates two halves: lists at even and at odd positions.

        lists: at least two lists. scores: rescoring scores of each list's distinct hypotheses, natural log.
        """
        halves = (range(0, len(lists), 2), range(1, len(lists), 2))
        weights, parts = [], []
        for half, other_half in (halves, halves[::-1]):
            prior = fit_rank_prior([lists[i] for i in other_half])
            ranking = tune_ranking(
                [lists[i] for i in other_half], [scores[i] for i in other_half], prior, uses_switching_margin=False
            )
            parts.append(evaluate([lists[i] for i in half], [scores[i] for i in half], ranking))
            weights.append(ranking.weight)
        evaluation = Evaluation(
            words=np.concatenate([part.words for part in parts]),
            first_pass=np.concatenate([part.first_pass for part in parts]),
            rescored=np.concatenate([part.rescored for part in parts]),
            oracle=np.concatenate([part.oracle for part in parts]),
        )
        return cls(evaluation, (weights[1], weights[0]))
