"""lorb.word_errors: counts and pooled rates."""

import math

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb.word_errors import WordErrorRate, oracle_errors, word_error_rate, word_errors

SENTENCES = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=8).map(" ".join)


def textbook_distance(reference, hypothesis):
    """Levenshtein's recurrence over words, row by row."""
    row = list(range(len(hypothesis) + 1))
    for i, expected in enumerate(reference, start=1):
        previous, row[0] = row[0], i
        for j, word in enumerate(hypothesis, start=1):
            substituted = previous + (expected != word)
            previous, row[j] = row[j], min(substituted, row[j] + 1, row[j - 1] + 1)
    return row[-1]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "errors"),
    [
        ("a b c", "a b c", 0),
        ("a b c", "a x c", 1),
        ("a b c", "a c", 1),
        ("a b c", "a b b c", 1),
        ("", "a b", 2),
        ("a b", "", 2),
        ("", "", 0),
        ("a  b\tc", " a b c ", 0),
        ("A b", "a b", 1),
    ],
)
def test_each_kind_of_error_counts_one(reference, hypothesis, errors):
    """Each substitution, deletion and insertion counts one; white space is ignored, and case counts."""
    assert word_errors(reference, hypothesis) == errors


@given(SENTENCES, SENTENCES)
def test_counts_are_levenshtein_distances(reference, hypothesis):
    """Counts equal the Levenshtein distance over words."""
    assert word_errors(reference, hypothesis) == textbook_distance(reference.split(), hypothesis.split())


def test_real_lists_pool_as_jiwer_pools(sample_lists):
    """Errors, words and rate of the dev sample equal jiwer's."""
    references = [nbest.reference for nbest in sample_lists]
    best = [nbest.hypotheses[0].transcript for nbest in sample_lists]
    ours = word_error_rate(zip(references, best, strict=True))
    theirs = jiwer.process_words(references, best)
    assert ours.errors == theirs.substitutions + theirs.deletions + theirs.insertions
    assert ours.words == theirs.hits + theirs.substitutions + theirs.deletions
    assert ours.percent == pytest.approx(100 * theirs.wer, rel=1e-12)
    assert ours.utterances == len(sample_lists)


def test_parts_add_up_to_the_whole(sample_lists):
    """The sum of the rates of two halves equals the rate of the whole."""
    pairs = [(nbest.reference, nbest.hypotheses[0].transcript) for nbest in sample_lists]
    half = len(pairs) // 2
    assert word_error_rate(pairs[:half]) + word_error_rate(pairs[half:]) == word_error_rate(pairs)


def test_the_oracle_takes_the_best_of_the_first_k():
    """The oracle is the minimum over the first k transcripts."""
    transcripts = ["x y", "a x", "a b"]
    assert [oracle_errors("a b", transcripts, k) for k in (1, 2, 3, None)] == [2, 1, 0, 0]


def test_the_oracle_needs_a_transcript():
    """The oracle of no transcripts raises ValueError."""
    with pytest.raises(ValueError, match="empty"):
        oracle_errors("a", [])


def test_a_corpus_without_words_has_no_rate():
    """Without reference words the rate is 0 without errors, and infinite with errors."""
    assert WordErrorRate.of("", "").percent == 0.0
    assert WordErrorRate.of("", "a").percent == math.inf
    assert WordErrorRate().percent == 0.0
