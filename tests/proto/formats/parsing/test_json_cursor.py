"""lorb.formats.parsing.json_cursor: JSON members with their lines."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb.errors import MalformedFile
from lorb.formats.parsing.json_cursor import array_members, documents, members_at, object_members, parse_json

PATH = Path("lists.json")
TEXTS = st.text(max_size=6)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
INDENTS = st.sampled_from([None, 0, 2])


@given(st.lists(VALUES, max_size=4), INDENTS)
def test_an_array_is_read_as_json_reads_it(values, indent):
    """The members of any array equal those of the json module, for any indentation."""
    text = json.dumps(values, indent=indent)
    assert [value for _, value in array_members(PATH, text)] == values


@given(st.dictionaries(TEXTS, VALUES, max_size=4), INDENTS)
def test_an_object_is_read_as_json_reads_it(values, indent):
    """The pairs of any object equal those of the json module in order, for any indentation."""
    text = json.dumps(values, indent=indent)
    assert [pair for _, pair in object_members(PATH, text)] == list(values.items())


def test_members_have_the_line_they_begin_on():
    """Each member has the line on which it begins, also if a value spans lines."""
    text = '[\n {"a":\n 1},\n\n 2, 3\n]'
    assert [line for line, _ in array_members(PATH, text)] == [2, 5, 5]


def test_a_repeated_key_is_not_lost():
    """Both values of a repeated key are yielded; the json module would keep the last."""
    assert list(object_members(PATH, '{"a": 1,\n"a": 2}')) == [(1, ("a", 1)), (2, ("a", 2))]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("[", 1),
        ("[1,\n2", 2),
        ("[1,\n2\n", 2),
        ("[1,\n2 3]", 2),
        ("[1]\n\nx", 3),
        ("[1,\n{'a': 1}]", 2),
        ("[1,\nNaN]", 2),
        ("[1,\n-Infinity]", 2),
        ('[1,\n"a\nb"]', 2),
        ("[1,]", 1),
        ("{}", 1),
        ("[" * 100_000, 1),
        ("[" + "9" * 5000 + "]", 1),
    ],
)
def test_what_is_not_an_array_is_refused_on_its_line(text, line):
    """Truncated, invalid, too deep or too long JSON is refused with the line of the error."""
    with pytest.raises(MalformedFile, match="not JSON") as caught:
        list(array_members(PATH, text))
    assert caught.value.line == line


@pytest.mark.parametrize("text", ["[]", '{"a"}', "{1: 2}", '{"a": 1', '{"a": }', '{"a": 1,}'])
def test_what_is_not_an_object_is_refused(text):
    """A member without key, value or end is refused."""
    with pytest.raises(MalformedFile, match="not JSON"):
        list(object_members(PATH, text))


def test_a_line_of_json_lines_names_its_own_line():
    """An error in one line of a JSON lines file names that line, also if the line is truncated."""
    with pytest.raises(MalformedFile) as caught:
        parse_json(PATH, 7, '{"id": "a", "hyps": [\n')
    assert caught.value.line == 7
    assert caught.value.message.startswith("lists.json:7: not JSON: ")


@given(st.lists(st.dictionaries(TEXTS, VALUES, max_size=3), min_size=1, max_size=4), INDENTS)
def test_documents_are_consecutive_or_in_an_array(values, indent):
    """Consecutive documents and one array give the same values."""
    lines = "\n".join(json.dumps(value, indent=indent) for value in values)
    assert [value for _, value in documents(PATH, lines)] == values
    assert [value for _, value in documents(PATH, json.dumps(values, indent=indent))] == values


def test_members_are_found_by_their_key_path():
    """Members at any of several key paths are yielded with their lines; other values are skipped."""
    text = '{"a": [0],\n "b": {"c": [1,\n 2], "d": 7}}\n{"c": [3]}'
    assert list(members_at(PATH, text, [("b", "c"), ("c",)])) == [(2, 1), (3, 2), (4, 3)]
    assert list(members_at(PATH, '[{"c": {"x": 1}}, {}]', [("c",)])) == [(1, ("x", 1))]


@pytest.mark.parametrize(
    ("text", "line"),
    [('{"b": 5}', 1), ('{"b":\n{"c": 5}}', 2), ('{"b": {"c": [1]}', 1), ("5", 1), ('{"b": {"c": [1,\n', 1)],
)
def test_a_wrong_value_at_a_key_path_is_refused_on_its_line(text, line):
    """A value of another type at a key path, or a missing end, is refused with its line."""
    with pytest.raises(MalformedFile, match="not JSON") as caught:
        list(members_at(PATH, text, [("b", "c")]))
    assert caught.value.line == line
