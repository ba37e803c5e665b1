"""lorb.labels: caller's names that travel in logs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb.errors import InvalidInput
from lorb.labels import MAX_LABEL_CHARS, check_label

PLAIN = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])


@given(st.text(PLAIN, max_size=MAX_LABEL_CHARS))
def test_any_line_of_text_is_a_label(text):
    """Names of any script pass, the empty one too."""
    assert check_label(text, "request_id") == text


@pytest.mark.parametrize("control", ["\n", "\r", "\t", "\x00", "\x1b", "\x7f", "\x85", "\u2028", "\u2029"])
def test_control_characters_are_refused_with_their_place(control):
    """What could forge a log line is refused, and the message itself is one clean line."""
    with pytest.raises(InvalidInput) as caught:
        check_label(f"ab{control}c", "request_id")
    assert caught.value.field == "request_id"
    assert f"U+{ord(control):04X} at position 2" in caught.value.message
    assert caught.value.message.splitlines() == [caught.value.message]


def test_a_label_has_at_most_256_characters():
    """The limit itself passes, one more does not."""
    check_label("x" * MAX_LABEL_CHARS, "routing_key")
    with pytest.raises(InvalidInput) as caught:
        check_label("x" * (MAX_LABEL_CHARS + 1), "routing_key")
    assert caught.value.field == "routing_key"
