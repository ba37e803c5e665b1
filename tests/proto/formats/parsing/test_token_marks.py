"""lorb.formats.parsing.token_marks: words without the marks of tokens."""

import pytest

from lorb.formats import Notices
from lorb.formats.parsing.token_marks import strip_token_marks


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("▁the▁cat<eos>", "the cat"),
        ("THE<space>CAT<sos/eos>", "THE CAT"),
        ("the  cat", "the  cat"),
        (" the cat ", "the cat"),
        ("<|startoftranscript|><|en|><|0.00|> The cat.<|endoftext|>", "The cat."),
        ("a<blank>b", "ab"),
        ("<unk> cat", "<unk> cat"),
        ("a <noise> b", "a <noise> b"),
        ("a < b > c <| d", "a < b > c <| d"),
        ("", ""),
    ],
)
def test_token_marks_are_removed_and_words_stay(text, words):
    """Token marks and control tokens are removed; <unk> and other words in angle brackets stay."""
    assert strip_token_marks(text, Notices()) == words


def test_what_was_done_is_counted():
    """Each kind of change is counted once for each text."""
    notices = Notices()
    for text in ("▁a▁b<eos>", "▁c", "d"):
        strip_token_marks(text, notices)
    assert notices.lines() == [
        "2 texts with U+2581 or <space> replaced by a space",
        "1 texts with control tokens such as <eos> removed",
    ]
