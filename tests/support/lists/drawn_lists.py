"""Scored lists with a known posterior scale, for tests of calibration."""

import random

from lorb_adapters.ranking import softmax
from lorb_adapters.training.evaluation.tuning import ScoredList


def lists_drawn(true_scale: float) -> list[ScoredList]:
    """Returns 3,000 lists of four hypotheses; the correct one is drawn from softmax(true_scale * combined)."""
    rng = random.Random(1)
    lists = []
    for _ in range(3000):
        combined = [rng.gauss(0, 2 / true_scale) for _ in range(4)]
        [best] = rng.choices(range(4), softmax([true_scale * score for score in combined]))
        lists.append(ScoredList(combined, [0.0] * 4, [int(i != best) for i in range(4)]))
    return lists
