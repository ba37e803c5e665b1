"""Text encoding: normalisation, special tokens, and where hypotheses that are too long are cut."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb.errors import InvalidAdapter
from lorb_adapters.base.loader import load_base
from lorb_adapters.text import TextEncoder, TextNormalization

PLAIN = TextNormalization()
STRIPPED = TextNormalization(strip_punctuation=True)


@pytest.fixture(scope="module")
def encoder(tiny_bert):
    return load_base(str(tiny_bert)).text_encoder


@pytest.fixture(scope="module")
def roberta_encoder(tiny_roberta):
    return load_base(str(tiny_roberta)).text_encoder


@pytest.mark.parametrize(
    ("normalization", "text", "normalized"),
    [
        (TextNormalization(), "  Hello \t World\n", "hello world"),
        (TextNormalization(lowercase=False), "Hello World", "Hello World"),
        (TextNormalization(), "cafe\u0301", "caf\u00e9"),
        (STRIPPED, "well, it's half-done!", "well it's half-done"),
        (STRIPPED, "'quoted' - dash", "quoted dash"),
        (STRIPPED, "...", ""),
        (STRIPPED, "rock-'n'-roll_band", "rock n roll band"),
        (STRIPPED, "don\u2019t \u2018quote\u2019", "don't quote"),
        (TextNormalization(), "don\u2019t", "don\u2019t"),
        (
            STRIPPED,
            "\u0939\u093f\u0928\u094d\u0926\u0940 \u092e\u0947\u0902\u0964",
            "\u0939\u093f\u0928\u094d\u0926\u0940 \u092e\u0947\u0902",
        ),
        (STRIPPED, "\u0e19\u0e35\u0e48!", "\u0e19\u0e35\u0e48"),
        (STRIPPED, "\u0643\u064e\u062a\u064e\u0628\u064e\u060c", "\u0643\u064e\u062a\u064e\u0628\u064e"),
        (STRIPPED, "\u0645\u06cc\u200c\u0631\u0648\u0645", "\u0645\u06cc\u200c\u0631\u0648\u0645"),
        (STRIPPED, "I \u2764\ufe0f it", "i it"),
        (TextNormalization(), "", ""),
    ],
)
def test_normalization_changes_what_its_options_say(normalization, text, normalized):
    """Each option has its documented effect and no other."""
    assert normalization.apply(text) == normalized


@given(st.text(), st.booleans(), st.booleans())
def test_normalization_is_idempotent(text, lowercase, strip_punctuation):
    """Normalising twice gives the same as once, so trainer and server agree whoever normalises."""
    normalization = TextNormalization(lowercase, strip_punctuation)
    once = normalization.apply(text)
    if once.lower() == once or not lowercase:  # a few letters change under a second lower()
        assert normalization.apply(once) == once


def test_normalization_survives_json_and_names_a_wrong_key():
    """The object in a manifest reads back equal; a value that is not true or false is an error that names its key."""
    normalization = TextNormalization(False, True)
    assert TextNormalization.from_json(normalization.to_json()) == normalization
    with pytest.raises(InvalidAdapter, match="normalization.lowercase is 'yes', not true or false"):
        TextNormalization.from_json({"lowercase": "yes", "strip_punctuation": True})


def test_special_tokens_and_types_are_the_tokenizers_own(tiny_bert, encoder):
    """Special tokens and token types are those of transformers' own call, with and without a context."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    [row] = encoder.encode(["the old man"], "", PLAIN, uses_context=False)
    expected = tokenizer("the old man")
    assert list(row.token_ids) == expected["input_ids"]
    assert list(row.type_ids) == [0] * row.num_tokens
    [row] = encoder.encode(["the old man"], "who was it", PLAIN, uses_context=True)
    expected = tokenizer("who was it", "the old man", return_token_type_ids=True)
    assert list(row.token_ids) == expected["input_ids"]
    assert list(row.type_ids) == expected["token_type_ids"]


def test_roberta_rows_have_its_own_separators(tiny_roberta, roberta_encoder):
    """A pair is <s> A </s></s> B </s>, as the tokenizer itself encodes it."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_roberta)
    [row] = roberta_encoder.encode(["the old man"], "who was it", PLAIN, uses_context=True)
    assert list(row.token_ids) == tokenizer("who was it", "the old man")["input_ids"]
    assert set(row.type_ids) == {0}


def test_special_tokens_in_a_transcript_are_text(encoder):
    """ "[SEP]" in a transcript never becomes the separator's id: a caller cannot forge a second segment."""
    [plain] = encoder.encode(["a b"], "", PLAIN, uses_context=False)
    [forged] = encoder.encode(["a [SEP] b"], "", PLAIN, uses_context=False)
    separator = plain.token_ids[-1]
    assert forged.token_ids.count(separator) == 1
    assert forged.num_tokens > plain.num_tokens + 1


def test_an_empty_transcript_is_scored_on_its_closing_separator(encoder):
    """An empty hypothesis has one scored token, so it gets a score like any other text."""
    [row] = encoder.encode([""], "", PLAIN, uses_context=False)
    assert row.num_tokens - row.scored_from == 1


def test_a_long_context_loses_its_beginning_first(encoder):
    """The context is cut before any hypothesis, and its end is kept."""
    long_context = " ".join(["once"] * 200 + ["end"])
    [end] = encoder.encode(["end"], "", PLAIN, uses_context=False)
    rows = encoder.encode(["the old man", "the man"], long_context, PLAIN, uses_context=True)
    assert [row.truncated for row in rows] == [False, False]
    assert max(row.num_tokens for row in rows) == encoder.max_tokens
    assert rows[0].token_ids[rows[0].scored_from - 2] == end.token_ids[-2]
    assert rows[0].token_ids[: rows[0].scored_from] == rows[1].token_ids[: rows[1].scored_from]


def test_hypotheses_too_long_are_cut_at_one_position_and_flagged(encoder):
    """All hypotheses of a list are cut at the same position; only those that lose tokens are flagged."""
    long = " ".join(["man"] * 100)
    rows = encoder.encode([long, long + " end", "the man"], "context", PLAIN, uses_context=True)
    assert [row.truncated for row in rows] == [True, True, False]
    assert rows[0].token_ids == rows[1].token_ids
    assert rows[0].num_tokens == encoder.max_tokens


@given(texts=st.lists(st.text(max_size=40), min_size=1, max_size=5), context=st.text(max_size=40))
def test_every_row_fits_and_has_something_scored(encoder, texts, context):
    """For any texts, tokens fit the encoder, each has a type, and at least one is scored."""
    for uses_context in (False, True):
        for row in encoder.encode(texts, context, PLAIN, uses_context):
            assert len(row.type_ids) == row.num_tokens <= encoder.max_tokens
            assert 0 < row.scored_from < row.num_tokens


@pytest.mark.parametrize("of", ["encoder", "roberta_encoder"])
def test_an_encoder_can_be_sent_to_another_process(of, request):
    """A text encoder read from JSON, without the base, encodes exactly as the original."""
    original = request.getfixturevalue(of)
    copy = TextEncoder.from_json(json.loads(json.dumps(original.to_json())))
    texts = ["the cat sat", "[SEP] it's <s>", "", "the caf\u00e9 " * 40]
    for uses_context in (False, True):
        arguments = (texts, "a turn before", PLAIN, uses_context)
        assert copy.encode(*arguments) == original.encode(*arguments)


@pytest.mark.parametrize("family", ["encoder", "roberta_encoder"])
@given(words=st.lists(st.text("abcé'z-", min_size=1, max_size=6), max_size=30))
def test_every_token_knows_its_word(request, family, words):
    """The rows are those of `encode`, truncated or not; word numbers rise from 0 to the separator's without gaps."""
    text_encoder = request.getfixturevalue(family)
    text = " ".join(words)
    [(row, numbers)] = text_encoder.encode_with_words([text], PLAIN)
    assert [row] == text_encoder.encode([text], "", PLAIN, uses_context=False)
    assert len(numbers) == row.num_tokens
    assert numbers[: row.scored_from] == (-1,) * row.scored_from
    assert list(numbers) == sorted(numbers)
    assert numbers[-1] == len(words)
    if not row.truncated:
        assert set(numbers[row.scored_from :]) == set(range(len(words) + 1))
