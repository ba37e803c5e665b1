"""Sentences: what is read, what is left out, and the order of training."""

import gzip
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb.errors import InvalidInput, MalformedFile
from lorb_adapters.pretraining.config import BuildConfig
from lorb_adapters.pretraining.corpus.sentences import Sentences, sha256, shuffled_order, text_lines
from lorb_adapters.text import TextNormalization


def lines(count):
    """Distinct sentences."""
    return [f"Sentence number {i} of a book" for i in range(count)]


def collected(folder, text, **values):
    return Sentences.collect(text, folder, BuildConfig(**values))


def test_sentences_come_back_normalised_and_in_order(tmp_path):
    """Sentences are normalised, none is lost or reordered, and no file stays on disk."""
    sentences = collected(tmp_path, lines(1000))
    kept = [sentences[i] for i in range(len(sentences))]
    assert len(kept) + len(sentences.held_out) == 1000
    assert sorted([*kept, *sentences.held_out]) == sorted(line.lower() for line in lines(1000))
    assert kept == sorted(kept, key=lambda text: int(text.split()[2]))
    assert sentences.word_counts["book"] == len(kept)
    assert list(tmp_path.iterdir()) == []


def test_copies_of_a_held_out_sentence_are_held_out_too(tmp_path):
    """No sentence is both trained on and held out, even if the text repeats it."""
    sentences = collected(tmp_path, [line for line in lines(1000) for _ in range(3)])
    assert not {sentences[i] for i in range(len(sentences))} & set(sentences.held_out)


def test_long_short_and_excluded_sentences_are_left_out_and_counted(tmp_path):
    """Each reason for leaving out a line is counted, and a reference of dev is not trained on."""
    text = [*lines(500), "too short", "word " * 60, "The reference of dev", "THE  reference of dev"]
    sentences = Sentences.collect(text, tmp_path, BuildConfig(), excluded={"the reference of dev"})
    assert sentences.dropped == Counter(
        {"too short": 1, "too long": 1, "references of dev": 2, "held out": len(sentences.held_out)}
    )
    assert "the reference of dev" not in [sentences[i] for i in range(len(sentences))]


def test_case_is_kept_where_asked(tmp_path):
    """With a normalisation that keeps case, sentences keep their capitals."""
    sentences = collected(tmp_path, lines(500), normalization=TextNormalization(lowercase=False))
    assert sentences[0].startswith("Sentence")


@given(seed=st.integers(0, 5), cuts=st.lists(st.integers(0, 2500), max_size=5))
def test_the_order_does_not_depend_on_where_reading_starts(tmp_path_factory, seed, cuts):
    """Pieces of the order join to the whole order; each pass has every sentence once, in an order of its own."""
    sentences = collected(tmp_path_factory.mktemp("text"), lines(900))
    whole = list(shuffled_order(len(sentences), seed, 0, 2500))
    ends = sorted({0, *cuts, 2500})
    pieces = [
        i
        for start, stop in zip(ends, ends[1:], strict=False)
        for i in shuffled_order(len(sentences), seed, start, stop)
    ]
    assert pieces == whole
    size = len(sentences)
    assert sorted(whole[:size]) == sorted(whole[size : 2 * size]) == list(range(size))
    assert whole[:size] != whole[size : 2 * size]


@pytest.mark.parametrize("text", [[], ["a b"] * 10, ["one sentence alone here"]])
def test_a_text_with_nothing_to_train_on_is_refused(tmp_path, text):
    """A text without sentences to train on is refused with advice on the format."""
    with pytest.raises(InvalidInput, match="one sentence on each line"):
        collected(tmp_path, text)


def test_damaged_text_is_reported_with_its_line(tmp_path):
    """A truncated gzip file, invalid UTF-8 and a missing file are errors that name file and line."""
    torn = tmp_path / "torn.txt.gz"
    torn.write_bytes(gzip.compress("\n".join(lines(5000)).encode())[:-2000])
    with pytest.raises(MalformedFile, match=r"torn\.txt\.gz:\d+: "):
        list(text_lines([torn]))
    latin = tmp_path / "latin.txt"
    latin.write_bytes(b"a sentence\ncaf\xe9\n")
    with pytest.raises(MalformedFile, match=r"latin\.txt:2: not UTF-8"):
        list(text_lines([latin]))
    with pytest.raises(InvalidInput, match="cannot be read"):
        sha256(tmp_path / "nowhere.txt")
