"""What a base does for lists of which none was seen in training: its head alone, the weight tuned on other lists."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lorb_adapters.training.data.encoded_lists import ReferencedList, fit_rank_prior
from lorb_adapters.training.evaluation.evaluation import Evaluation, evaluate
from lorb_adapters.training.evaluation.tuning import tune_ranking


@dataclass(frozen=True, slots=True)
class ZeroShot:
    """A base on dev lists.

    Attributes:
        evaluation: each half of dev ranked with the weight that was tuned on the other.
        weights: tuned on the first half and on the second, for lists with first-pass scores if any have them.
    """

    evaluation: Evaluation
    weights: tuple[float, float]

    @classmethod
    def measure(cls, lists: Sequence[ReferencedList], scores: Sequence[Sequence[float]]) -> "ZeroShot":
        """Halves are every other list. lists: two or more; scores: of their distinct hypotheses."""
        halves = (range(0, len(lists), 2), range(1, len(lists), 2))
        weights, parts = [], []
        for ours, others in (halves, halves[::-1]):
            prior = fit_rank_prior([lists[i] for i in others])
            ranking = tune_ranking(
                [lists[i] for i in others], [scores[i] for i in others], prior, uses_switching_margin=False
            )
            parts.append(evaluate([lists[i] for i in ours], [scores[i] for i in ours], ranking))
            weights.append(ranking.weight)
        together = Evaluation(
            words=np.concatenate([part.words for part in parts]),
            first_pass=np.concatenate([part.first_pass for part in parts]),
            rescored=np.concatenate([part.rescored for part in parts]),
            oracle=np.concatenate([part.oracle for part in parts]),
        )
        return cls(together, (weights[1], weights[0]))
