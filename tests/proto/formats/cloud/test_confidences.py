"""lorb.formats.cloud.confidences: when a service's confidences are scores."""

import math
from pathlib import Path

import pytest

from lorb.formats import Notices
from lorb.formats.cloud.confidences import alternatives


def scores(*confidences):
    """Scores of alternatives with these confidences, and what is said of them."""
    notices = Notices()
    value = [{"t": "a"} if each is None else {"t": "a", "c": each} for each in confidences]
    return [each.get("score") for each in alternatives(value, "t", "c", Path("r"), 1, notices)], notices.lines()


def test_confidences_that_fall_are_scores():
    """Natural log; equal ones do not contradict the order."""
    assert scores(0.9, 0.5, 0.5)[0] == [math.log(0.9), math.log(0.5), math.log(0.5)]


@pytest.mark.parametrize(
    ("confidences", "words"),
    [
        ((None, None), "rates no alternative"),
        ((0.0, 0), "rates no alternative"),
        ((0.9, None), "rates some alternatives only"),
        ((0.9, 0.0), "rates some alternatives only"),
        ((0.5, 0.9), "contradict its order"),
        ((1.5, 0.9), "rates some alternatives only"),
    ],
)
def test_other_confidences_are_none_and_the_order_stays(confidences, words):
    """A list is scored wholly or not at all, and is not put into another order than the service's."""
    found, notices = scores(*confidences)
    assert found == [None, None]
    assert words in notices[0]
