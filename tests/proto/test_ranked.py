"""lorb.ranked: defaults and immutability."""

import dataclasses

import pytest

from lorb.ranked import FallbackPolicy, Outcome, Ranked, RankedHypothesis, RescoreOptions, Selection


def test_options_default_to_what_an_empty_request_asks_for():
    """The default options equal those of an empty request."""
    assert RescoreOptions() == RescoreOptions("", None, FallbackPolicy.DEGRADE, 0, Selection.MAP, "")


def test_a_hypothesis_without_scores_has_none():
    """The scores of a hypothesis that was not rescored are None."""
    hypothesis = RankedHypothesis(0, "a")
    assert (hypothesis.combined_score, hypothesis.rescoring_score, hypothesis.posterior) == (None, None, None)


def test_an_answer_cannot_be_changed():
    """A result is immutable."""
    ranked = Ranked((RankedHypothesis(0, "a"),), Outcome.RESCORED)
    with pytest.raises(dataclasses.FrozenInstanceError):
        ranked.outcome = Outcome.PARTIAL
