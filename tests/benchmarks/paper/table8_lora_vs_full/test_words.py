"""Words fixed and broken by class, and the agreement of two rescorers."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb.word_errors import word_errors
from study.table8_lora_vs_full.agreement import Agreement, agreement, cohen_kappa, jaccard
from study.table8_lora_vs_full.word_changes import Balance, balances, word_changes, word_errors_of
from study.table8_lora_vs_full.word_classes import CONTENT, FUNCTION, frequency_class, word_class, word_counts

sentences = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=8).map(" ".join)


def changed(*texts):
    """(kind, word, fixed) of each change, sorted."""
    return sorted((each.error.kind, each.error.word, each.is_fixed) for each in word_changes(*texts))


@pytest.mark.parametrize(
    ("word", "expected"),
    [("the", FUNCTION), ("They", FUNCTION), ("they'll", FUNCTION), ("don't", FUNCTION), ("ain't", FUNCTION),
     ("iron", CONTENT), ("o'clock", CONTENT), ("blood's", CONTENT), ("went", CONTENT)],
)  # fmt: skip
def test_words_of_closed_classes_are_function_words(word, expected):
    """The part before the apostrophe decides; negations are function words."""
    assert word_class(word) == expected


def test_frequency_is_counted_in_train():
    """From unseen words to those seen a hundred times."""
    counts = word_counts(["rare words", "words " * 99, "some " * 10])
    assert [frequency_class(word, counts) for word in ("words", "some", "rare", "none")] == [
        "100 or more", "10 to 99", "1 to 9", "not in train",
    ]  # fmt: skip


def test_a_fixed_word_a_broken_one_and_one_that_stays_wrong():
    """By position; a substitution that becomes a deletion is no change."""
    assert changed("there is iron", "they is iron", "there is ion") == [
        ("substitution", "iron", False), ("substitution", "there", True),
    ]  # fmt: skip
    assert changed("there is iron", "they is iron", "is iron") == []


def test_insertions_match_by_word():
    """The same inserted word before and after is no change; one fewer is a fix."""
    assert changed("go home", "oh go home", "go oh home") == []
    assert changed("go home", "oh oh go home", "oh go home") == [("insertion", "oh", True)]


@given(sentences, sentences)
def test_errors_are_as_many_as_the_word_error_rate_counts(reference, text):
    """The number of errors equals that of the word error rate for any texts."""
    assert len(word_errors_of(reference, text)) == word_errors(reference, text)


@given(sentences, sentences)
def test_taking_a_step_back_undoes_it(reference, text):
    """A text has no changes to itself; the reference fixes all errors."""
    assert changed(reference, text, text) == []
    assert len(changed(reference, text, reference)) == word_errors(reference, text)
    assert all(fixed for _, _, fixed in changed(reference, text, reference))


@given(sentences, sentences, sentences)
def test_what_is_fixed_is_broken_the_other_way_round(reference, one, other):
    """Swapping the texts swaps fixed and broken."""
    there, back = changed(reference, one, other), changed(reference, other, one)
    assert there == sorted((kind, word, not fixed) for kind, word, fixed in back)


def test_balances_count_by_class():
    """Errors of the first pass, fixed errors and new errors."""
    utterances = [("the cat sat", "a cat sat", "the cat sad"), ("on it", "on", "on")]
    assert balances(utterances, lambda error: word_class(error.word)) == {
        CONTENT: Balance(before=0, fixed=0, broken=1),
        FUNCTION: Balance(before=2, fixed=1, broken=0),
    }
    assert balances(utterances, lambda error: error.kind)["deletion"] == Balance(1, 0, 0)


def test_agreement_of_two_rescorers():
    """Four lists: both improve one, one improves another, the other worsens one."""
    found = agreement([3, 3, 3, 3], ([2, 1, 3, 3], [1, 3, 4, 3]), (["a", "b", "c", "d"], ["a", "x", "y", "d"]))
    assert found.same_choice == 0.5
    assert found.fixed_in_common == 0.5
    assert found.broken_in_common == 0.0
    assert found.kappa == pytest.approx((2 / 4 - 1 / 4 * 2 / 4 - 2 / 4 * 2 / 4) / (1 - 1 / 4 * 2 / 4 - 2 / 4 * 2 / 4))


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=20))
def test_a_rescorer_agrees_with_itself(labels):
    """A rescorer agrees fully with itself, even if it changes no list."""
    first = [5] * len(labels)
    errors = [5 + label for label in labels]
    texts = list(map(str, labels))
    assert agreement(first, (errors, errors), (texts, texts)) == Agreement(1.0, 1.0, 1.0, 1.0)


def test_kappa_is_0_by_chance():
    """Independent labels have a kappa of 0."""
    one, other = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    assert cohen_kappa(one, other) == pytest.approx(0.0)
    assert jaccard(one > 0, other > 0) == pytest.approx(1 / 3)


def test_counts_are_of_words():
    """Words are counted over all references."""
    assert word_counts(["a b", "a"]) == Counter(a=2, b=1)
