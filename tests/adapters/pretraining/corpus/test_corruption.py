"""Corrupted sentences and the verdicts on their words."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from lorb_adapters.pretraining.config import BuildConfig
from lorb_adapters.pretraining.corpus.confusions import Confusions
from lorb_adapters.pretraining.corpus.corruption import CorruptedSentence, Corruptor
from lorb_adapters.pretraining.corpus.near_words import NearWords

WORDS = ["the", "north", "wind", "and", "the", "sun", "were", "disputing", "which", "was", "the", "stronger"]
NONE = Confusions(Counter())


def corruptor(confusions=NONE, **values):
    return Corruptor(NearWords(Counter(WORDS)), confusions, BuildConfig(**values))


def with_rate(confusions):
    """A corruptor and draws that corrupt every place, by a confusion where one is known."""

    class EveryPlace(random.Random):
        def random(self):
            return 0.0

        def uniform(self, a, b):
            return b

    return Corruptor(NearWords(Counter(WORDS)), confusions, BuildConfig(corrupted_share=0.5)), EveryPlace(0)


@given(words=st.lists(st.sampled_from(WORDS), max_size=20), seed=st.integers(), share=st.sampled_from([0.01, 0.2, 0.5]))
def test_what_is_called_right_is_the_sentence_without_its_wrong_words(words, seed, share):
    """Right words stand in the sentence in the same order; between neighbours that are right nothing is missing."""
    corrupted = corruptor(corrupted_share=share).corrupt(words, random.Random(seed))
    assert len(corrupted.wrong) == len(corrupted.words) + 1
    unchanged = iter(words)
    kept = [word for word, wrong in zip(corrupted.words, corrupted.wrong, strict=False) if not wrong]
    assert all(word in unchanged for word in kept)
    if not any(corrupted.wrong):
        assert list(corrupted.words) == words


def test_the_share_of_corrupted_words_is_what_was_asked_for():
    """Over many sentences one word in eight is wrong, some sentences are whole, and others lose twice as many."""
    rng, made = random.Random(0), corruptor(corrupted_share=0.125)
    sentences = [made.corrupt(WORDS, rng) for _ in range(3000)]
    share = sum(sum(each.wrong) for each in sentences) / sum(len(each.words) for each in sentences)
    assert 0.1 < share < 0.15
    assert any(not any(each.wrong) for each in sentences)
    assert any(sum(each.wrong) > 0.25 * len(WORDS) for each in sentences)


def test_each_kind_of_confusion_is_charged_to_the_word_that_shows_it():
    """A substitute is wrong itself; what is missing is charged to the word behind it, or to the sentence's end."""
    made, rng = with_rate(Confusions(Counter({(("b",), ("x", "y")): 1, (("c",), ()): 1, (("a",), ("a",)): 1})))
    assert made.corrupt(("a", "b", "a"), rng) == CorruptedSentence(
        ("a", "x", "y", "a"), (False, True, True, False, False)
    )
    assert made.corrupt(("a", "c", "a"), rng) == CorruptedSentence(("a", "a"), (False, True, False))
    assert made.corrupt(("a", "c", "c"), rng) == CorruptedSentence(("a",), (False, True))
    assert made.corrupt(("c", "c"), rng) == CorruptedSentence((), (True,))


def test_an_insertion_is_wrong_and_the_word_behind_it_is_not():
    """The loop moves on past the word that an insertion stands before."""
    made, rng = with_rate(Confusions(Counter({((), ("x",)): 1})))
    assert made.corrupt(("a", "b"), rng) == CorruptedSentence(("x", "a", "x", "b"), (True, False, True, False, False))


def test_the_same_draws_make_the_same_sentence():
    """A resumed run corrupts as the one before it would have."""
    first, second = (corruptor(corrupted_share=0.5).corrupt(WORDS, random.Random("7/3")) for _ in range(2))
    assert first == second
