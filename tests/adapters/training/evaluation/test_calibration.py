"""Calibration: the expected error by hand, and before and after tuning the scale."""

import math

import pytest

from lorb_adapters.training.evaluation.calibration import Calibration
from lorb_adapters.training.evaluation.tuning import ScoredList, tune_posterior_scale
from support.lists.drawn_lists import lists_drawn


def two(posterior, errors):
    """A list of two hypotheses; the first has the posterior."""
    return ScoredList([math.log(posterior), math.log(1 - posterior)], [0.0, 0.0], errors)


def calibration_of(lists, scale=1.0):
    """The calibration of lists at weight 1."""
    return Calibration.of([each.posteriors(1.0, scale) for each in lists], [each.errors for each in lists])


def test_a_hand_worked_example():
    """Four lists at 0.8, half of them right, and one at 0.95 that is right: (4 * 0.3 + 1 * 0.05) / 5 = 0.25."""
    lists = [two(0.8, [0, 1]), two(0.8, [1, 2]), two(0.8, [1, 0]), two(0.8, [3, 2]), two(0.95, [0, 1])]
    calibration = calibration_of(lists)
    assert [each.num_lists for each in calibration.bins] == [4, 1]
    assert calibration.bins[0].accuracy == 0.5
    assert calibration.expected_error == pytest.approx(0.25)
    assert calibration.confidence == pytest.approx((4 * 0.8 + 0.95) / 5)
    assert calibration.accuracy == pytest.approx(3 / 5)


def test_lists_without_contrast_do_not_count():
    """Lists whose hypotheses have equal errors are left out; without any list the error is 0."""
    assert calibration_of([two(0.8, [2, 2])]).num_lists == 0
    assert calibration_of([two(0.8, [2, 2])]).expected_error == 0.0


def test_equally_good_hypotheses_share_the_credit():
    """One of two equally good hypotheses counts as half right, so posteriors of about 0.5 each are calibrated."""
    tied = ScoredList([math.log(0.499), math.log(0.499), math.log(0.002)], [0.0] * 3, [1, 1, 4])
    calibration = calibration_of([tied])
    assert calibration.accuracy == 0.5
    assert calibration.expected_error == pytest.approx(0.001)


@pytest.mark.parametrize("true_scale", [0.2, 3.0])
def test_the_tuned_scale_calibrates_posteriors(true_scale):
    """For outcomes drawn from softmax(scale * combined) the error is above 0.1 at scale 1, below 0.03 when tuned."""
    lists = lists_drawn(true_scale)
    assert calibration_of(lists).expected_error > 0.1
    assert calibration_of(lists, tune_posterior_scale(lists, 1.0)).expected_error < 0.03
