"""Word errors of one list: they come back from their text, and give the same segments as the texts themselves."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb.errors import InvalidInput
from lorb.nbest import Hypothesis, NBest
from lorb_adapters.training.evaluation.list_errors import ListErrors
from lorb_adapters.training.evaluation.significance import segment_differences, segment_differences_by_place

SENTENCES = st.lists(st.sampled_from("abc"), max_size=8).map(" ".join)


@given(SENTENCES, SENTENCES, SENTENCES)
def test_segments_are_those_of_the_texts(reference, first, second):
    """Two runs' errors, written and read, give the segment differences that the test finds in their texts."""
    nbest = NBest((Hypothesis(first), Hypothesis(second)), id="one", reference=reference)
    one, other = (ListErrors.parse(ListErrors.of(nbest, text).to_text()) for text in (first, second))
    assert segment_differences_by_place(one.by_place, other.by_place) == segment_differences(reference, first, second)
    assert one.num_words == len(reference.split())


def test_digests_tell_lists_apart():
    """The id has a digest of its own; the other depends on the reference and the texts, and not on their order."""
    nbest = NBest((Hypothesis("a"), Hypothesis("b")), id="one", reference="a")
    same = NBest((Hypothesis("b"), Hypothesis("a")), id="one", reference="a")
    other = NBest((Hypothesis("a"), Hypothesis("c")), id="one", reference="a")
    made = [ListErrors.of(each, "a") for each in (nbest, same, other)]
    assert made[0] == made[1]
    assert made[0].id_digest == made[2].id_digest
    assert made[0].texts_digest != made[2].texts_digest
    assert re.fullmatch("[0-9a-f]{12} [0-9a-f]{8} 1", made[0].to_text())


def test_an_error_behind_the_last_word_is_refused():
    """A place that the reference does not have is an error that quotes the line."""
    with pytest.raises(InvalidInput, match="has an error behind its 1 words"):
        ListErrors.parse("0123456789ab 01234567 1 3")
