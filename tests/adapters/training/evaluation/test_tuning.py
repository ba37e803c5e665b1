"""Tuning on dev: the weight with the fewest errors, the best calibrated scale, and the switching margin."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb_adapters.training.evaluation.tuning import (
    WEIGHT_GRID,
    ScoredList,
    errors_by_weight,
    tune_posterior_scale,
    tune_switching_margin,
    tune_weight,
)
from support.lists.drawn_lists import lists_drawn


def test_a_useless_model_keeps_the_first_pass():
    """If the first pass is always right and the model always wrong, the tuned weight keeps the first pass."""
    lists = [ScoredList([0.0, -1.0], [0.0, 5.0], [0, 3])] * 10
    weight = tune_weight(lists)
    assert all(each.top_errors(weight) == 0 for each in lists)


def test_a_good_model_gets_the_weight_it_needs():
    """If the model must outweigh a first-pass lead of 4 but not one of 12, the weight lies between 2 and 6."""
    lists = [ScoredList([0.0, -4.0], [0.0, 2.0], [1, 0]), ScoredList([0.0, -12.0], [0.0, 2.0], [0, 1])]
    weight = tune_weight(lists)
    assert 2 < weight < 6
    assert sum(each.top_errors(weight) for each in lists) == 0


def test_the_weight_is_never_worse_than_the_first_pass():
    """The tuned weight never has more errors than weight 0 on the lists that it is tuned on."""
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
        tuned = sum(each.top_errors(tune_weight(lists)) for each in lists)
        assert tuned <= sum(each.errors[0] for each in lists)
    assert WEIGHT_GRID[0] == 0.0


@pytest.mark.parametrize("true_scale", [0.1, 1.0, 5.0])
def test_the_scale_is_the_one_the_outcomes_were_drawn_with(true_scale):
    """On lists whose best hypothesis is drawn from softmax(scale * combined), tuning finds that scale."""
    lists = lists_drawn(true_scale)
    scale = tune_posterior_scale(lists, weight=1.0)
    assert math.log(scale) == pytest.approx(math.log(true_scale), abs=0.25)


def test_dev_without_contrast_keeps_the_scale_at_1():
    """If the hypotheses of each list have equal errors, no scale is better than another: posteriors do not go flat."""
    assert tune_posterior_scale([ScoredList([0.0, -1.0], [0.0, 5.0], [2, 2])] * 3, 1.0) == 1.0
    assert tune_posterior_scale([], 1.0) == 1.0


def switch(lead, gain):
    """A list whose second hypothesis leads by `lead` at weight 1 and saves `gain` word errors (negative: adds some)."""
    return ScoredList([0.0, -1.0], [0.0, 1.0 + lead], [max(gain, 0), max(-gain, 0)])


@pytest.mark.parametrize(
    ("switches", "margin"),
    [
        ([], 0.0),
        ([(0.5, 1), (2.0, 1)], 0.0),
        ([(0.5, -1), (2.0, 2)], 1.25),
        ([(0.5, -1), (2.0, 1)], 2.0),
        ([(0.5, 0), (2.0, 1)], 1.25),
        ([(0.5, 1), (1.0, -1), (2.0, 1)], 1.5),
        ([(0.5, -1), (1.0, 2), (2.0, -1), (4.0, 1)], 3.0),
        ([(0.5, 1), (1.0, -2), (2.0, 3)], 1.5),
        ([(1.0, -1), (1.0, 2), (2.0, 1)], 0.0),
    ],
)
def test_the_margin_suppresses_switches_that_save_nothing_in_total(switches, margin):
    """The margin lies midway between the last suppressed lead and the next; equal leads are suppressed together."""
    assert tune_switching_margin([switch(*each) for each in switches], 1.0) == pytest.approx(margin)


def test_a_model_that_only_worsens_never_switches():
    """If every switch adds errors, the margin suppresses all of them."""
    lists = [switch(lead, -1) for lead in (0.5, 1.0, 3.0)]
    margin = tune_switching_margin(lists, 1.0)
    assert all(each.top(1.0, margin) == 0 for each in lists)


RANDOM_LISTS = st.lists(
    st.lists(st.tuples(st.floats(-5, 0), st.floats(-5, 5), st.integers(0, 4)), min_size=1, max_size=5).map(
        lambda rows: ScoredList(*map(list, zip(*sorted(rows, key=lambda row: -row[0]), strict=True)))
    ),
    max_size=20,
)


@given(RANDOM_LISTS)
def test_errors_by_weight_are_those_of_the_ranking(lists):
    """At every weight a list's errors are those of the hypothesis that the ranking rule puts first, ties included."""
    expected = [[each.top_errors(weight) for each in lists] for weight in WEIGHT_GRID]
    assert errors_by_weight(lists).tolist() == expected


@given(RANDOM_LISTS, st.sampled_from(WEIGHT_GRID))
def test_the_margin_never_costs_on_the_set_it_is_tuned_on(lists, weight):
    """The margin never adds errors or worsened lists on the lists that it is tuned on."""
    margin = tune_switching_margin(lists, weight)

    def errors_and_worsened(margin):
        chosen = [each.errors[each.top(weight, margin)] for each in lists]
        worsened = sum(errors > each.errors[0] for errors, each in zip(chosen, lists, strict=True))
        return sum(chosen), worsened

    with_margin, without = errors_and_worsened(margin), errors_and_worsened(0.0)
    assert with_margin[0] <= without[0]
    assert with_margin[1] <= without[1]
