"""First-pass scores: statistics, and the rank prior."""

import math

import pytest

from lorb.nbest import Hypothesis, NBest
from lorb_adapters.base.loader import load_base
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.data.encoded_lists import encode_lists
from lorb_adapters.training.data.first_pass import first_pass_statistics, fit_rank_prior

PLAIN = TextNormalization()


@pytest.fixture(scope="module")
def encoder(tiny_bert):
    return load_base(str(tiny_bert)).text_encoder


def make_list(name, reference, *scores):
    return NBest(tuple(Hypothesis(f"{reference} {i}", s) for i, s in enumerate(scores)), id=name, reference=reference)


def encode(encoder, reference, *transcripts):
    nbest = NBest(tuple(Hypothesis(text, -float(i)) for i, text in enumerate(transcripts)), reference=reference)
    [each] = encode_lists([nbest], encoder, PLAIN, uses_context=False)
    return each


def test_statistics_describe_the_first_pass_scores(encoder):
    """Statistics are over all scores, and over the distances from each list's best."""
    lists = encode_lists(
        [make_list("1", "a", -1.0, -3.0), make_list("2", "b", -2.0, -4.0, -6.0)],
        encoder,
        PLAIN,
        uses_context=False,
    )
    statistics = first_pass_statistics(lists)
    assert statistics["mean"] == pytest.approx(-16 / 5)
    assert statistics["mean_behind_best"] == pytest.approx((2 + 2 + 4) / 3)
    assert statistics["mean_hypotheses"] == 2.5
    assert statistics["scored_fraction"] == 1.0


def test_a_pruning_mark_is_not_a_score(encoder):
    """A score of minus five billion marks a pruned hypothesis and is left out of the statistics."""
    marked = make_list("1", "a", -1.0, -3.0, -5e9)
    statistics = first_pass_statistics(encode_lists([marked], encoder, PLAIN, uses_context=False))
    assert statistics["mean"] == -2.0
    assert statistics["std"] == 1.0
    assert statistics["mean_behind_best"] == 2.0


def test_lists_without_scores_have_no_score_statistics(encoder):
    """Lists without scores give counts only."""
    lists = encode_lists([make_list("1", "a", None, None)], encoder, PLAIN, uses_context=False)
    assert first_pass_statistics(lists) == {"scored_fraction": 0.0, "mean_hypotheses": 2.0}


def test_the_rank_prior_is_the_smoothed_frequency_of_best_ranks(encoder):
    """The prior has the add-one frequencies of the best rank, never rising."""
    lists = [encode(encoder, "a", "a", "b", "c")] * 6 + [encode(encoder, "c", "a", "b", "c")] * 3
    prior = fit_rank_prior(lists)
    assert [math.exp(log) for log in prior.log_probabilities] == pytest.approx([7 / 12, 1 / 12, 1 / 12])
