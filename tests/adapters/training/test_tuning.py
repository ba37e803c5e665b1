"""Tuning on dev: the weight with the fewest errors, the scale of best calibrated posteriors."""

import math
import random

import pytest

from lorb_adapters.ranking import softmax
from lorb_adapters.training.tuning import WEIGHT_GRID, ScoredList, tune_posterior_scale, tune_weight


def test_a_useless_model_gets_weight_zero_or_does_no_harm():
    """Where the first pass is always right and the model always wrong, the chosen weight keeps the first pass."""
    lists = [ScoredList([0.0, -1.0], [0.0, 5.0], [0, 3])] * 10
    weight = tune_weight(lists)
    assert all(each.chosen_errors(weight) == 0 for each in lists)


def test_a_good_model_gets_the_weight_it_needs():
    """Where the model must outweigh a first-pass lead of 4 but not one of 12, the weight lies between."""
    lists = [ScoredList([0.0, -4.0], [0.0, 2.0], [1, 0]), ScoredList([0.0, -12.0], [0.0, 2.0], [0, 1])]
    weight = tune_weight(lists)
    assert 2 < weight < 6
    assert sum(each.chosen_errors(weight) for each in lists) == 0


def test_the_weight_is_never_worse_than_the_first_pass():
    """0 is on the grid, so tuning cannot lose on the set it is tuned on."""
    rng = random.Random(0)
    for _ in range(20):
        lists = [
            ScoredList(
                sorted((rng.gauss(0, 3) for _ in range(5)), reverse=True),
                [rng.gauss(0, 3) for _ in range(5)],
                [rng.randrange(4) for _ in range(5)],
            )
            for _ in range(30)
        ]
        tuned = sum(each.chosen_errors(tune_weight(lists)) for each in lists)
        assert tuned <= sum(each.errors[0] for each in lists)
    assert WEIGHT_GRID[0] == 0.0


@pytest.mark.parametrize("true_scale", [0.1, 1.0, 5.0])
def test_the_scale_is_the_one_the_outcomes_were_drawn_with(true_scale):
    """Lists whose best hypothesis is drawn from softmax(scale * combined) give that scale back."""
    rng = random.Random(1)
    lists = []
    for _ in range(3000):
        combined = [rng.gauss(0, 2 / true_scale) for _ in range(4)]
        [best] = rng.choices(range(4), softmax([true_scale * score for score in combined]))
        lists.append(ScoredList(combined, [0.0] * 4, [int(i != best) for i in range(4)]))
    scale = tune_posterior_scale(lists, weight=1.0)
    assert math.log(scale) == pytest.approx(math.log(true_scale), abs=0.25)
