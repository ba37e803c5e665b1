"""The trigram: it is a distribution, follows the formula, and prefers seen texts."""

import math

import pytest

from study.table1.trigram import DISCOUNT, Trigram

TEXTS = [text.split() for text in ("a b c", "a b d", "b c", "a")]


def test_what_follows_a_context_sums_to_one():
    """The probabilities of known words, the end and one unknown word sum to one in any context."""
    trigram = Trigram(TEXTS)
    words = ["a", "b", "c", "d", "</s>", "unknown"]
    for context in [("<s>", "<s>"), ("a", "b"), ("b", "c"), ("d", "a"), ("x", "y")]:
        assert sum(trigram._probability(word, context) for word in words) == pytest.approx(1.0)


def test_a_probability_is_the_formula():
    """P(c | a b): "a b" is followed by c and d, once each; "b" by c after two words and by d after one."""
    trigram = Trigram(TEXTS)
    one, kinds = 1 / 6, 8  # five words and the unknown one; eight different bigrams, one of them ends in c
    unigram = (1 - DISCOUNT + DISCOUNT * 5 * one) / kinds
    bigram = (2 - DISCOUNT + DISCOUNT * 2 * unigram) / 3
    assert trigram._probability("c", ("a", "b")) == pytest.approx((1 - DISCOUNT + DISCOUNT * 2 * bigram) / 2)


def test_a_text_is_likelier_than_its_words_in_another_order():
    """Log probabilities include the end; unknown words have probability."""
    trigram = Trigram(TEXTS)
    assert trigram.log_probability(["a", "b", "c"]) > trigram.log_probability(["c", "b", "a"])
    assert -math.inf < trigram.log_probability(["never", "seen"]) < trigram.log_probability(["a"]) < 0
