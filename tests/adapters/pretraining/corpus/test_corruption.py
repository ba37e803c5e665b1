"""Corrupted sentences and the labels of their words."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from lorb_adapters.pretraining.config import BuildConfig
from lorb_adapters.pretraining.corpus.confusions import Confusions
from lorb_adapters.pretraining.corpus.corruption import CorruptedSentence, Corruptor
from lorb_adapters.pretraining.corpus.similar_words import SimilarWords

WORDS = ["the", "north", "wind", "and", "the", "sun", "were", "disputing", "which", "was", "the", "stronger"]
NONE = Confusions(Counter())


def corruptor(confusions=NONE, **values):
    return Corruptor(SimilarWords(Counter(WORDS)), confusions, BuildConfig(**values))


def corrupting_every_word(confusions):
    """A corruptor and a random generator that corrupt every word, with a confusion if one is known."""

    class EveryWord(random.Random):
        def random(self):
            return 0.0

        def uniform(self, a, b):
            return b

    return Corruptor(SimilarWords(Counter(WORDS)), confusions, BuildConfig(corrupted_share=0.5)), EveryWord(0)


@given(words=st.lists(st.sampled_from(WORDS), max_size=20), seed=st.integers(), share=st.sampled_from([0.01, 0.2, 0.5]))
def test_words_labelled_correct_are_those_of_the_sentence(words, seed, share):
    """Words labelled correct occur in the sentence in this order; with no wrong label the sentence is unchanged."""
    corrupted = corruptor(corrupted_share=share).corrupt(words, random.Random(seed))
    assert len(corrupted.wrong) == len(corrupted.words) + 1
    unchanged = iter(words)
    kept = [word for word, wrong in zip(corrupted.words, corrupted.wrong, strict=False) if not wrong]
    assert all(word in unchanged for word in kept)
    if not any(corrupted.wrong):
        assert list(corrupted.words) == words


def test_the_share_of_corrupted_words_is_the_configured_one():
    """Over many sentences about one word in eight is wrong; some sentences have none, others over a quarter."""
    rng, made = random.Random(0), corruptor(corrupted_share=0.125)
    sentences = [made.corrupt(WORDS, rng) for _ in range(3000)]
    share = sum(sum(each.wrong) for each in sentences) / sum(len(each.words) for each in sentences)
    assert 0.1 < share < 0.15
    assert any(not any(each.wrong) for each in sentences)
    assert any(sum(each.wrong) > 0.25 * len(WORDS) for each in sentences)


def test_each_kind_of_confusion_labels_the_word_that_shows_it():
    """A substituted word is wrong; a missing word is labelled on the next word, or on the end of the sentence."""
    made, rng = corrupting_every_word(
        Confusions(Counter({(("b",), ("x", "y")): 1, (("c",), ()): 1, (("a",), ("a",)): 1}))
    )
    assert made.corrupt(("a", "b", "a"), rng) == CorruptedSentence(
        ("a", "x", "y", "a"), (False, True, True, False, False)
    )
    assert made.corrupt(("a", "c", "a"), rng) == CorruptedSentence(("a", "a"), (False, True, False))
    assert made.corrupt(("a", "c", "c"), rng) == CorruptedSentence(("a",), (False, True))
    assert made.corrupt(("c", "c"), rng) == CorruptedSentence((), (True,))


def test_an_insertion_is_wrong_and_the_word_after_it_is_not():
    """An inserted word is wrong, and the word after it stays correct."""
    made, rng = corrupting_every_word(Confusions(Counter({((), ("x",)): 1})))
    assert made.corrupt(("a", "b"), rng) == CorruptedSentence(("x", "a", "x", "b"), (True, False, True, False, False))


def test_the_same_draws_make_the_same_sentence():
    """Two generators with the same seed corrupt a sentence equally."""
    first, second = (corruptor(corrupted_share=0.5).corrupt(WORDS, random.Random("7/3")) for _ in range(2))
    assert first == second
