"""Random edits of valid content, for tests of readers and servers on faulty input."""

from hypothesis import strategies as st

TOKENS = (
    b"",
    b"\x00",
    b"\xff\xfe",
    b"\xed\xa0\x80",  # a lone surrogate
    b"\xe2\x80\xa8",  # a Unicode line separator
    b"\r",
    b"\n",
    b"\n\n",
    b"\t",
    b" ",
    b'"',
    b"\\",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"-",
    b".",
    b"NaN",
    b"nan",
    b"Infinity",
    b"-inf",
    b"1e400",
    b"-1e-400",
    b"0",
    b"-1",
    b"1e5",
    b"18446744073709551616",
    b"9" * 5000,  # more digits than int() accepts
    b"[" * 100_000,  # deeper than a recursive parser can read
    b'{"a":' * 20_000,
    b"null",
    b"true",
    b"{}",
    b"[]",
    b'""',
    b"../../etc/passwd",
    b"\x80\x04\x95",  # a pickle
    b"\x1f\x8b\x08",  # a gzip
    b"\xff\xff\xff\xff\x0f",  # a large varint
)

_places = st.floats(0, 1)
_lengths = st.integers(0, 64)
_edits = st.one_of(
    st.tuples(st.just("flip"), _places, st.integers(0, 7)),
    st.tuples(st.just("overwrite"), _places, st.sampled_from(TOKENS)),
    st.tuples(st.just("insert"), _places, st.sampled_from(TOKENS) | st.binary(max_size=8)),
    st.tuples(st.just("cut"), _places, _lengths),
    st.tuples(st.just("repeat"), _places, _lengths),
    st.tuples(st.just("move"), _places, st.tuples(_places, _lengths)),
    st.tuples(st.just("end"), _places, st.none()),
    st.tuples(st.just("replace word"), _places, st.sampled_from(TOKENS)),
)
edits = st.lists(_edits, min_size=1, max_size=6)


def edited(content: bytes, changes: list) -> bytes:
    """Returns the content after these edits, applied in order."""
    for kind, place, argument in changes:
        content = _EDITS[kind](content, min(int(place * len(content)), max(len(content) - 1, 0)), argument)
    return content


def _flip(content, at, bit):
    return content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :] if content else content


def _replace_word(content, at, token):
    """Replaces the number or word at a position, which a parser reads as a value."""
    begin = end = at
    while begin > 0 and content[begin - 1 : begin].isalnum():
        begin -= 1
    while end < len(content) and (content[end : end + 1].isalnum() or content[end : end + 1] in (b".", b"_")):
        end += 1
    return content[:begin] + token + content[end:]


def _move(content, at, argument):
    to, length = argument
    piece, rest = content[at : at + length], content[:at] + content[at + length :]
    to = int(to * len(rest))
    return rest[:to] + piece + rest[to:]


_EDITS = {
    "flip": _flip,
    "overwrite": lambda content, at, token: content[:at] + token + content[at + len(token) :],
    "insert": lambda content, at, token: content[:at] + token + content[at:],
    "cut": lambda content, at, length: content[:at] + content[at + length :],
    "repeat": lambda content, at, length: content[: at + length] + content[at:],
    "move": _move,
    "end": lambda content, at, _: content[:at],
    "replace word": _replace_word,
}
