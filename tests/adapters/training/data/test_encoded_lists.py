"""Encoded lists: distinct texts, their word errors, and the added reference."""

import pytest

from lorb.nbest import Hypothesis, NBest
from lorb_adapters.base.loader import load_base
from lorb_adapters.ranking import RankPrior
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


def unscored(base, count, **options):
    nbest = NBest(tuple(Hypothesis("the" + " man" * i) for i in range(count)), reference="old")
    [each] = encode_lists([nbest], base.text_encoder, PLAIN, uses_context=False, **options)
    return each


PRIOR = RankPrior((-1.0, -2.0, -3.0, -4.0), weight=1.0, posterior_scale=1.0)


def test_drawn_texts_keep_the_prior_of_their_rank(base):
    """Of a list without scores the first, fourth and sixth text have the prior of these ranks, not of 1 to 3."""
    each = unscored(base, 6)
    whole = PRIOR.scores(6)
    assert each.first_pass_scores(PRIOR) == whole
    assert each.select([0, 3, 5]).first_pass_scores(PRIOR) == [whole[0], whole[3], whole[5]]
    assert each.select([0, 3, 5]).select([0, 2]).first_pass_scores(PRIOR) == [whole[0], whole[5]]


def test_a_reference_in_a_list_without_scores_has_the_prior_of_the_best(base):
    """No first pass ranked the reference: like in a list with scores, it is as likely as the first pass's best."""
    each = unscored(base, 6, uses_references=True)
    whole = PRIOR.scores(6)
    assert each.with_reference().first_pass_scores(PRIOR) == [*whole, whole[0]]
    assert each.select([0, 4]).with_reference().first_pass_scores(PRIOR) == [whole[0], whole[4], whole[0]]


def test_scores_are_those_of_the_recogniser(base):
    """A list with scores does not use the prior."""
    each = encode(base, "a b c", "a b", "a b d", uses_references=True)
    assert each.select([1]).first_pass_scores(PRIOR) == [-1.0]
    assert each.with_reference().first_pass_scores(PRIOR) == [0.0, -1.0, 0.0]
