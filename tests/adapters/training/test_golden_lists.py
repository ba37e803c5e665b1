"""Golden lists: which dev lists are chosen."""

from dataclasses import replace

import pytest

from lorb.nbest import Hypothesis, NBest
from lorb_adapters.store.manifest import MAX_GOLDEN_HYPOTHESES, GoldenList
from lorb_adapters.text import EncodedHypothesis
from lorb_adapters.training.data.encoded_lists import EncodedList
from lorb_adapters.training.golden_lists import short_lists_with_contrast
from support.adapters.publications import make_publication


def list_of_length(num_tokens, errors=(1, 0)):
    """A list of two texts with `num_tokens` tokens each."""
    nbest = NBest((Hypothesis("a", -1.0), Hypothesis("b", -2.0)), id=str(num_tokens), reference="b")
    row = EncodedHypothesis((0,) * num_tokens, (0,) * num_tokens, 0, truncated=False)
    return EncodedList(nbest, nbest.distinct(), (0, 1), (row, row), errors, 1)


def list_of_texts(num_texts, chars, num_tokens=10):
    """A list of many or long texts; the last text is right."""
    texts = [f"{i} ".ljust(chars, "x") for i in range(num_texts)]
    nbest = NBest(tuple(Hypothesis(text, -i - 1 / 3) for i, text in enumerate(texts)), id=f"{num_texts}-{num_tokens}")
    row = EncodedHypothesis((0,) * num_tokens, (0,) * num_tokens, 0, truncated=False)
    errors = (1,) * (num_texts - 1) + (0,)
    return EncodedList(nbest, nbest.distinct(), tuple(range(num_texts)), (row,) * num_texts, errors, 1)


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


@pytest.mark.parametrize(
    ("dev", "num_chosen"),
    [
        ([list_of_texts(256, 1_800, 10 + i) for i in range(4)], 2),
        ([list_of_texts(256, 1_800, 10 + i) for i in range(3)] + [list_of_texts(10, 100, 99)], 3),
        ([list_of_texts(1_200, 20, 10 + i) for i in range(4)], 3),
        ([list_of_texts(5_000, 3), list_of_texts(2, 2_000_000)], 0),
    ],
)
def test_lists_that_a_manifest_cannot_hold_are_not_chosen(dev, num_chosen, store, store_base):
    """Long texts and many hypotheses: what is chosen can be published and read back."""
    chosen = short_lists_with_contrast(dev)
    assert len(chosen) == num_chosen
    assert sum(len(each.nbest.hypotheses) for each in chosen) <= MAX_GOLDEN_HYPOTHESES
    golden = tuple(GoldenList.of(each.nbest, (-1 / 3,) * len(each.distinct)) for each in chosen)
    version = store.publish(make_publication(store_base, golden_lists=golden), set_stable=True)
    assert store.manifest("voice", version).golden_lists == golden


def test_a_large_list_is_replaced_by_the_shortest_of_the_others():
    """One list too large for a manifest among many: the other three chosen stay, and the shortest one replaces it."""
    dev = [list_of_length(length) for length in range(1, 101)]
    assert lengths(short_lists_with_contrast(dev)) == [1, 13, 26, 38]
    dev[25] = list_of_texts(2, 2_000_000, 26)
    assert lengths(short_lists_with_contrast(dev)) == [1, 2, 13, 38]


def test_a_list_that_no_file_can_hold_is_skipped():
    """Half a surrogate pair in an id cannot be written in UTF-8: the list was chosen, and the adapter was refused."""
    broken = list_of_length(1)
    broken = replace(broken, nbest=replace(broken.nbest, id="\ud800"))
    assert lengths(short_lists_with_contrast([broken, list_of_length(2)])) == [2]
