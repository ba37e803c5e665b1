"""Words that look alike."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from lorb_adapters.pretraining.corpus.near_words import NearWords

WORDS = Counter(
    {"horse": 50, "house": 90, "hose": 3, "mouse": 9, "the": 900, "they": 90, "reception": 5, "exception": 4}
)


def test_near_words_are_other_words_of_the_text_that_look_alike():
    """Never the word itself, at most two letters away (three in long words), the common ones more often."""
    near, rng = NearWords(WORDS), random.Random(0)
    drawn = Counter(near.near("horse", rng) for _ in range(500))
    assert set(drawn) == {"house", "hose", "mouse"}
    assert drawn["house"] > drawn["mouse"]
    assert near.near("reception", rng) == "exception"
    assert near.near("unlike", rng) is None


def test_a_text_of_one_word_has_no_near_words():
    """Nothing to choose from is said, not an error."""
    near = NearWords(Counter({"word": 3}))
    assert near.near("word", random.Random(0)) is None
    assert near.frequent(random.Random(0)) == "word"


@given(word=st.text("abcxyz", min_size=1, max_size=30), seed=st.integers())
def test_a_misspelling_is_a_word_close_by(word, seed):
    """It is never empty, has no space, and is at most two edits away, an exchange of neighbours counting as two."""
    misspelled = NearWords(WORDS).misspelled(word, random.Random(seed))
    assert misspelled
    assert len(misspelled.split()) == 1
    assert Levenshtein.distance(word, misspelled) <= 4
