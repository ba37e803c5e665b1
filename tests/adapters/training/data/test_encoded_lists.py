"""Encoded lists: distinct texts, their word errors, and the added reference."""

import pytest

from lorb.nbest import Hypothesis, NBest
from lorb_adapters.base.loader import load_base
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.data.encoded_lists import encode_lists

PLAIN = TextNormalization()


@pytest.fixture(scope="module")
def base(tiny_bert):
    return load_base(str(tiny_bert))


def encode(base, reference, *transcripts, uses_references=False):
    hypotheses = tuple(Hypothesis(text, -float(i)) for i, text in enumerate(transcripts))
    nbest = NBest(hypotheses, reference=reference)
    [each] = encode_lists([nbest], base.text_encoder, PLAIN, uses_context=False, uses_references=uses_references)
    return each


def test_errors_are_counted_for_each_distinct_text(base):
    """Equal texts are one row, and each row has its word errors against the reference."""
    each = encode(base, "a b c", "a b", "a  b", "a b c", "x")
    assert len(each.rows) == 3
    assert each.errors == (1, 0, 3)
    assert each.num_words == 3


def test_a_list_of_equal_errors_has_no_contrast(base):
    """A list of equally wrong hypotheses has contrast only with its reference added."""
    assert not encode(base, "a b", "a c", "a d").has_contrast
    assert encode(base, "a b", "a c", "a d", uses_references=True).has_contrast
    assert encode(base, "a b", "a b", "a d").has_contrast


def test_the_reference_is_added_as_the_best_hypothesis(base):
    """The added reference comes last, without errors, with the best first-pass score and its own row."""
    each = encode(base, "the old man", "the man", "old man", uses_references=True).with_reference()
    assert each.errors == (1, 1, 0)
    assert each.distinct[-1].first_pass_score == 0.0
    [row] = base.text_encoder.encode(["the old man"], "", PLAIN, uses_context=False)
    assert each.rows[-1] == row
    assert each.with_reference() is each


def test_a_reference_among_the_hypotheses_is_not_added_again(base):
    """A list with a correct hypothesis stays as it is."""
    each = encode(base, "the old man", "the man", "the  old man", uses_references=True)
    assert each.reference_row is None
    assert each.with_reference() is each
