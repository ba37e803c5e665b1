"""Similar words: drawn by spelling and count, and misspellings."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from lorb_adapters.pretraining.corpus.similar_words import SimilarWords

WORDS = Counter(
    {"horse": 50, "house": 90, "hose": 3, "mouse": 9, "the": 900, "they": 90, "reception": 5, "exception": 4}
)


def test_similar_words_are_other_words_of_the_text():
    """Drawn words differ from the word by at most two edits (three for long words), and common ones prevail."""
    similar_words, rng = SimilarWords(WORDS), random.Random(0)
    drawn = Counter(similar_words.similar("horse", rng) for _ in range(500))
    assert set(drawn) == {"house", "hose", "mouse"}
    assert drawn["house"] > drawn["mouse"]
    assert similar_words.similar("reception", rng) == "exception"
    assert similar_words.similar("unlike", rng) is None


def test_a_text_of_one_word_has_no_similar_words():
    """With one word in the text no similar word is drawn, and the frequent word is that one."""
    similar_words = SimilarWords(Counter({"word": 3}))
    assert similar_words.similar("word", random.Random(0)) is None
    assert similar_words.frequent(random.Random(0)) == "word"


@given(word=st.text("abcxyz", min_size=1, max_size=30), seed=st.integers())
def test_a_misspelling_is_one_word_a_few_edits_away(word, seed):
    """A misspelling is never empty, has no space, and is at most four edits away (two transpositions)."""
    misspelled = SimilarWords(WORDS).misspelled(word, random.Random(seed))
    assert misspelled
    assert len(misspelled.split()) == 1
    assert Levenshtein.distance(word, misspelled) <= 4
