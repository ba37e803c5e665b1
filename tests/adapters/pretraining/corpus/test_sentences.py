"""The text of a run: what is read, what is left out, and in which order it is trained on."""

import gzip
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb.errors import InvalidInput, MalformedFile
from lorb_adapters.pretraining.config import BuildConfig
from lorb_adapters.pretraining.corpus.sentences import Sentences, reading_order, sha256, text_lines
from lorb_adapters.text import TextNormalization


def lines(count):
    """Sentences that differ."""
    return [f"Sentence number {i} of a book" for i in range(count)]


def collected(folder, text, **values):
    return Sentences.collect(text, folder, BuildConfig(**values))


def test_sentences_come_back_normalised_and_in_order(tmp_path):
    """What is neither held out nor left out is read back normalised, each once, and nothing stays on disk."""
    sentences = collected(tmp_path, lines(1000))
    kept = [sentences[i] for i in range(len(sentences))]
    assert len(kept) + len(sentences.held_out) == 1000
    assert sorted([*kept, *sentences.held_out]) == sorted(line.lower() for line in lines(1000))
    assert kept == sorted(kept, key=lambda text: int(text.split()[2]))
    assert sentences.word_counts["book"] == len(kept)
    assert list(tmp_path.iterdir()) == []


def test_copies_of_a_held_out_sentence_are_held_out_too(tmp_path):
    """No sentence is both trained on and held out, however often it stands in the text."""
    sentences = collected(tmp_path, [line for line in lines(1000) for _ in range(3)])
    assert not {sentences[i] for i in range(len(sentences))} & set(sentences.held_out)


def test_long_short_and_kept_out_sentences_are_left_out_and_counted(tmp_path):
    """Each reason has its count, and a sentence of dev is never trained on."""
    text = [*lines(500), "too short", "word " * 60, "The reference of dev", "THE  reference of dev"]
    sentences = Sentences.collect(text, tmp_path, BuildConfig(), kept_out={"the reference of dev"})
    assert sentences.dropped == Counter(
        {"too short": 1, "too long": 1, "references of dev": 2, "held out": len(sentences.held_out)}
    )
    assert "the reference of dev" not in [sentences[i] for i in range(len(sentences))]


def test_case_is_kept_where_asked(tmp_path):
    """The run's normalisation is the one that its adapters will have."""
    sentences = collected(tmp_path, lines(500), normalization=TextNormalization(lowercase=False))
    assert sentences[0].startswith("Sentence")


@given(seed=st.integers(0, 5), cuts=st.lists(st.integers(0, 2500), max_size=5))
def test_the_order_does_not_depend_on_where_one_begins(tmp_path_factory, seed, cuts):
    """Read in pieces or at once the order is the same; each pass has every sentence once, and its own order."""
    sentences = collected(tmp_path_factory.mktemp("text"), lines(900))
    whole = list(reading_order(len(sentences), seed, 0, 2500))
    ends = sorted({0, *cuts, 2500})
    pieces = [
        i for start, stop in zip(ends, ends[1:], strict=False) for i in reading_order(len(sentences), seed, start, stop)
    ]
    assert pieces == whole
    size = len(sentences)
    assert sorted(whole[:size]) == sorted(whole[size : 2 * size]) == list(range(size))
    assert whole[:size] != whole[size : 2 * size]


@pytest.mark.parametrize("text", [[], ["a b"] * 10, ["one sentence alone here"]])
def test_a_text_with_nothing_to_train_on_is_refused(tmp_path, text):
    """The message counts what was left out and says what to do."""
    with pytest.raises(InvalidInput, match="one sentence a line"):
        collected(tmp_path, text)


def test_torn_text_is_named_with_its_line(tmp_path):
    """A truncated gzip, bytes that are no UTF-8 and a file that is not there are errors with their place."""
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
