"""lorb.ranked: frozen answers and options with the contract's defaults."""

import dataclasses

import pytest

from lorb.ranked import FallbackPolicy, Outcome, Ranked, RankedHypothesis, RescoreOptions, Selection


def test_options_default_to_what_an_empty_request_asks_for():
    """No domain, the adapter's weight, degrade, all hypotheses, MAP."""
    assert RescoreOptions() == RescoreOptions("", None, FallbackPolicy.DEGRADE, 0, Selection.MAP, "")


def test_a_hypothesis_without_scores_has_none():
    """Not rescored is None, which 0.0 could not say."""
    hypothesis = RankedHypothesis(0, "a")
    assert (hypothesis.combined_score, hypothesis.rescoring_score, hypothesis.posterior) == (None, None, None)


def test_an_answer_cannot_be_changed():
    """An answer may be shared between threads."""
    ranked = Ranked((RankedHypothesis(0, "a"),), Outcome.RESCORED)
    with pytest.raises(dataclasses.FrozenInstanceError):
        ranked.outcome = Outcome.PARTIAL
