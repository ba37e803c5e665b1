"""Zero-shot evaluation: each half is ranked with the weight tuned on the other."""

import pytest

from lorb.nbest import Hypothesis, NBest
from lorb_adapters.base.loader import load_base
from lorb_adapters.pretraining.zero_shot import ZeroShotEvaluation
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.data.encoded_lists import encode_lists


@pytest.fixture(scope="module")
def text_encoder(tiny_bert):
    return load_base(str(tiny_bert)).text_encoder


def lists(text_encoder, references):
    """A list of two hypotheses for each reference; the first pass prefers "a b" by 1."""
    made = [
        NBest((Hypothesis("a b", -1.0), Hypothesis("a c", -2.0)), id=str(i), reference=reference)
        for i, reference in enumerate(references)
    ]
    return encode_lists(made, text_encoder, TextNormalization(), uses_context=False)


def test_no_half_is_ranked_with_a_weight_of_its_own(text_encoder):
    """If scores help one half and harm the other, each half is ranked with the other's weight and gets errors."""
    measured = ZeroShotEvaluation.measure(lists(text_encoder, ["a c", "a b"] * 3), [[0.0, 5.0]] * 6)
    on_helped, on_harmed = measured.weights
    assert on_harmed < 0.2 < on_helped
    assert measured.evaluation.rescored.tolist() == [1] * 6
    assert measured.evaluation.first_pass.tolist() == [1, 1, 1, 0, 0, 0]
    assert measured.evaluation.oracle.sum() == 0


def test_scores_that_are_right_everywhere_find_the_oracle(text_encoder):
    """If scores are right everywhere, the weights of both halves reach the oracle on the other."""
    measured = ZeroShotEvaluation.measure(lists(text_encoder, ["a c"] * 5), [[0.0, 5.0]] * 5)
    assert measured.evaluation.rescored.sum() == 0
    assert measured.evaluation.first_pass.sum() == 5
