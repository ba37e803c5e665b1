"""lorb.names: rules for domains, aliases, versions and labels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb.errors import InvalidInput
from lorb.names import (
    MAX_LABEL_CHARS,
    DomainSelector,
    check_alias,
    check_label,
    check_name,
    check_version,
    is_version,
)

NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True)
VERSION = "12-0123456789ab"
ONE_LINE = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])


@given(NAMES)
def test_names_of_the_alphabet_pass_unchanged(name):
    """Every valid name is returned unchanged."""
    assert check_name(name, "domain") == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../../etc",
        "/etc",
        "a/b",
        ".hidden",
        "-flag",
        "Upper",
        "a b",
        "a\n",
        "ä",
        "a\x00",
        "x" * 65,
        "a@b",
    ],
)
def test_anything_else_is_refused_with_its_field(name):
    """Invalid names, such as paths and log lines, are refused with their field and a one-line message."""
    with pytest.raises(InvalidInput) as caught:
        check_name(name, "domain")
    assert caught.value.field == "domain"
    assert "\n" not in caught.value.message


def test_a_long_name_is_not_repeated_in_full():
    """The message for a long name stays short."""
    with pytest.raises(InvalidInput) as caught:
        check_name("x" * 100_000, "domain")
    assert len(caught.value.message) < 300


def test_an_alias_does_not_begin_with_a_digit():
    """An alias that begins with a digit, like a version id, is refused."""
    assert check_alias("stable") == "stable"
    with pytest.raises(InvalidInput):
        check_alias("1st")


@pytest.mark.parametrize("text", ["0-0123456789ab", "1-0123456789AB", "1-0123456789a", "1", "stable", "1-" + "0" * 13])
def test_only_full_version_ids_are_versions(text):
    """Text that is no full version id is refused."""
    assert not is_version(text)
    with pytest.raises(InvalidInput) as caught:
        check_version(text)
    assert caught.value.field == "version"


def test_a_full_version_id_is_a_version():
    """A full version id is returned unchanged."""
    assert check_version(VERSION) == VERSION


@pytest.mark.parametrize(
    ("text", "selector"),
    [
        ("books", DomainSelector("books")),
        ("books@canary", DomainSelector("books", alias="canary")),
        (f"books@{VERSION}", DomainSelector("books", version=VERSION)),
    ],
)
def test_a_selector_names_a_domain_an_alias_or_a_version(text, selector):
    """ "name", "name@alias" and "name@version" are parsed."""
    assert DomainSelector.parse(text) == selector


@pytest.mark.parametrize("text", ["", "@stable", "books@", "books@1", "books@a@b", "books@../x", "../books@stable"])
def test_other_selectors_are_refused(text):
    """Incomplete and invalid selectors are refused."""
    with pytest.raises(InvalidInput) as caught:
        DomainSelector.parse(text)
    assert caught.value.field == "domain"


@given(st.text(ONE_LINE, max_size=MAX_LABEL_CHARS))
def test_any_line_of_text_is_a_label(text):
    """Every line of text in any script, also an empty one, is a valid label."""
    assert check_label(text, "request_id") == text


@pytest.mark.parametrize("control", ["\n", "\r", "\t", "\x00", "\x1b", "\x7f", "\x85", "\u2028", "\u2029"])
def test_control_characters_are_refused_with_their_place(control):
    """A control character in a label is refused with its position, in a one-line message."""
    with pytest.raises(InvalidInput) as caught:
        check_label(f"ab{control}c", "request_id")
    assert caught.value.field == "request_id"
    assert f"U+{ord(control):04X} at position 2" in caught.value.message
    assert caught.value.message.splitlines() == [caught.value.message]


def test_a_label_has_at_most_256_characters():
    """A label of 256 characters is valid, and one more is refused."""
    check_label("x" * MAX_LABEL_CHARS, "routing_key")
    with pytest.raises(InvalidInput) as caught:
        check_label("x" * (MAX_LABEL_CHARS + 1), "routing_key")
    assert caught.value.field == "routing_key"
