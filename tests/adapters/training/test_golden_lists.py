"""Golden lists: which dev lists are chosen."""

import pytest

from lorb.nbest import Hypothesis, NBest
from lorb_adapters.text import EncodedHypothesis
from lorb_adapters.training.data.encoded_lists import EncodedList
from lorb_adapters.training.golden_lists import short_lists_with_contrast


def list_of_length(num_tokens, errors=(1, 0)):
    """A list of two texts with `num_tokens` tokens each."""
    nbest = NBest((Hypothesis("a", -1.0), Hypothesis("b", -2.0)), id=str(num_tokens), reference="b")
    row = EncodedHypothesis((0,) * num_tokens, (0,) * num_tokens, 0, truncated=False)
    return EncodedList(nbest, nbest.distinct(), (0, 1), (row, row), errors, 1)


def lengths(chosen):
    return [len(each.rows[0].token_ids) for each in chosen]


def test_golden_lists_are_short_and_of_several_lengths():
    """Of 1,000 lists the four chosen are evenly spaced over the shorter half, from the shortest on."""
    dev = [list_of_length(length) for length in range(1000, 0, -1)]
    assert lengths(short_lists_with_contrast(dev)) == [1, 126, 251, 376]


@pytest.mark.parametrize(
    ("num_lists", "expected"), [(0, []), (1, [1]), (3, [1, 2, 3]), (4, [1, 2, 3, 4]), (8, [1, 2, 3, 4])]
)
def test_small_dev_sets_give_fewer_golden_lists(num_lists, expected):
    """Up to four lists are chosen; fewer only if dev has fewer."""
    assert lengths(short_lists_with_contrast([list_of_length(n + 1) for n in range(num_lists)])) == expected


def test_golden_lists_have_contrast():
    """Lists whose texts have equal errors are never chosen, however short."""
    equal = [list_of_length(length, errors=(1, 1)) for length in range(1, 10)]
    assert short_lists_with_contrast([*equal, list_of_length(30), list_of_length(20)]) == [
        list_of_length(20),
        list_of_length(30),
    ]
    assert short_lists_with_contrast(equal) == []
