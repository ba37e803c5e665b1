"""lorb.formats.cloud.confidences: when confidences become scores."""

import math
from pathlib import Path

import pytest

from lorb.formats import Notices
from lorb.formats.cloud.confidences import hypotheses_from_alternatives


def scores(*confidences):
    """Returns the scores of alternatives with these confidences, and the notices."""
    notices = Notices()
    value = [{"t": "a"} if each is None else {"t": "a", "c": each} for each in confidences]
    hypotheses = hypotheses_from_alternatives(value, "t", "c", Path("r"), 1, notices)
    return [each.get("score") for each in hypotheses], notices.lines()


def test_descending_confidences_are_scores():
    """Descending or equal confidences become natural logs."""
    assert scores(0.9, 0.5, 0.5)[0] == [math.log(0.9), math.log(0.5), math.log(0.5)]


@pytest.mark.parametrize(
    ("confidences", "words"),
    [
        ((None, None), "no alternative has a confidence"),
        ((0.0, 0), "no alternative has a confidence"),
        ((0.9, None), "some alternatives have no confidence above 0 and up to 1"),
        ((0.9, 0.0), "some alternatives have no confidence above 0 and up to 1"),
        ((0.5, 0.9), "confidences increase down the list"),
        ((1.5, 0.9), "some alternatives have no confidence above 0 and up to 1"),
    ],
)
def test_other_confidences_give_no_scores(confidences, words):
    """Missing, zero, rising or too large confidences give a list without scores, and a notice that says why."""
    found, notices = scores(*confidences)
    assert found == [None, None]
    assert words in notices[0]
