"""JSON files: values read back, and errors name the file, the field and the value."""

import json
import math
from types import MappingProxyType
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from lorb.errors import InvalidAdapter, StoreUnavailable
from lorb_adapters.json_files import (
    Count,
    Finite,
    NonNegative,
    Sha256,
    canonical_json,
    read_json,
    read_versioned,
    to_json,
)


class Inner(Struct):
    """An object in an array."""

    share: Finite

    def __post_init__(self):
        if self.share > 1:
            raise ValueError(f"share is {self.share}, not at most 1")


class Example(Struct):
    """A field of every type, all but one optional."""

    text: str
    flag: bool = True
    count: Count = 0
    number: Finite = 0.0
    positive: NonNegative = 0.0
    sha256: Sha256 = "0" * 64
    numbers: dict[str, Finite] = {}
    inner: tuple[Inner, ...] = ()
    by_name: dict[str, Inner] = {}


def read(content: bytes, kind: type = Example) -> Any:
    """Reads `content` as file.json."""
    return read_json(content, kind, "file.json", InvalidAdapter)


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\xff\xfe", b'{"a": NaN}', b'{"a": Infinity}', b"[" * 100_000])
def test_what_is_not_json_is_named(content):
    """A truncated file, bytes that are not text, NaN and endless nesting are refused with the file's name."""
    with pytest.raises(StoreUnavailable, match=r"file\.json is not JSON"):
        read_json(content, Example, "file.json", StoreUnavailable)


def test_an_array_at_the_top_is_refused():
    """A file that holds an array in place of an object is refused."""
    with pytest.raises(InvalidAdapter, match=r"the top level is \[1\], not an object"):
        read(b"[1]")


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("text", "1", "is 1, not a string"),
        ("text", "null", "is null, not a string"),
        ("flag", "1", "is 1, not true or false"),
        ("count", "true", "is true, not a whole number"),
        ("count", "-1", "is -1, not a whole number from 0"),
        ("count", "1.5", "is 1.5, not a whole number"),
        ("count", "1.0", "is 1.0, not a whole number"),
        ("number", '"1"', 'is "1", not a number'),
        ("number", "true", "is true, not a number"),
        ("number", "1e999", "is Infinity, not a finite number"),
        ("number", "-1e999", "is -Infinity, not a finite number"),
        ("number", "1" + "0" * 400, "not a finite number"),
        ("positive", "-1", "is -1, not a number from 0"),
        ("count", "1" + "0" * 400, "not a whole number below 2^63"),
        ("count", str(2**63), "is 9223372036854775808, not a whole number below 2^63"),
        ("sha256", '"f"', 'is "f", not 64 lower-case hex digits'),
        ("sha256", '"' + "f" * 64 + '\\n"', "not 64 lower-case hex digits"),
        ("sha256", '"' + "F" * 64 + '"', "not 64 lower-case hex digits"),
        ("numbers", "[]", "is [], not an object"),
        ("inner", "{}", "is {}, not an array"),
    ],
)
def test_a_wrong_value_names_the_field(field, value, problem):
    """A value of another type or out of range is refused with the file, the field and the value."""
    fields = {"text": '"a"'} | {field: value}
    content = "{" + ", ".join(f'"{name}": {each}' for name, each in fields.items()) + "}"
    with pytest.raises(InvalidAdapter) as caught:
        read(content.encode())
    assert caught.value.field == field
    assert str(caught.value).startswith(f"file.json: {field} ")
    assert problem in str(caught.value)


def test_a_missing_field_is_named():
    """A file without a required field is refused, and the field is named."""
    with pytest.raises(InvalidAdapter, match=r"^file\.json: text is missing$") as caught:
        read(b"{}")
    assert caught.value.field == "text"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"inner": [{"share": 0}, {"share": "x"}]}, 'inner[1].share is "x", not a number'),
        ({"inner": [{}]}, "inner[0].share is missing"),
        ({"by_name": {"a": {"share": 0}, "b.c": {"share": None}}}, "by_name.b.c.share is null, not a number"),
        ({"by_name": {"a": {"share": 2}}}, "by_name.a.share is 2.0, not at most 1"),
    ],
)
def test_a_nested_field_is_named_in_full(value, message):
    """A wrong value inside arrays and mappings is refused with its whole path."""
    with pytest.raises(InvalidAdapter) as caught:
        read(json.dumps({"text": "a"} | value).encode())
    assert str(caught.value) == f"file.json: {message}"
    assert caught.value.field == message.split()[0]


@given(st.integers(1, 200), st.data())
def test_the_first_wrong_key_of_a_mapping_is_named(size, data):
    """Of many keys the first one with a wrong value is named."""
    wrong = data.draw(st.sets(st.integers(0, size - 1), min_size=1))
    numbers = {f"k{i}": math.inf if i in wrong else i for i in range(size)}
    content = json.dumps({"text": "a", "numbers": numbers}).replace("Infinity", "1e999").encode()
    with pytest.raises(InvalidAdapter) as caught:
        read(content)
    assert caught.value.field == f"numbers.k{min(wrong)}"


@pytest.mark.parametrize("text", [" - at `$.inner[0]`", "`str`", "a"])
def test_a_text_of_the_file_cannot_mislead_the_message(text):
    """A value that looks like a path or a type in msgspec's messages is reported as a value."""
    with pytest.raises(InvalidAdapter) as caught:
        read(json.dumps({"text": "a", "count": text}).encode())
    assert str(caught.value) == f"file.json: count is {json.dumps(text)}, not a whole number"


@pytest.mark.parametrize("field", ["text", "count", "sha256", "numbers", "inner", "unknown"])
@pytest.mark.parametrize("half_pair", [b'"\\ud800"', b'"\\uDFFF"', b'"\xed\xa0\x80"'], ids=["high", "low", "encoded"])
def test_half_a_surrogate_pair_is_refused(field, half_pair):
    """A string that is not valid Unicode is refused with the file's name, as an escape and as encoded bytes."""
    content = json.dumps({"text": "a", field: None}).encode().replace(b"null", half_pair)
    with pytest.raises(InvalidAdapter, match=r"^file\.json"):
        read(content)


def test_a_whole_surrogate_pair_is_a_character():
    """A character beyond the basic plane is read from its escape."""
    assert read(b'{"text": "\\ud83d\\ude00"}').text == "\N{GRINNING FACE}"


@pytest.mark.parametrize(
    ("version", "problem"),
    [
        ("3", "schema_version is 3, newer than the 2 that this LoRB reads: upgrade LoRB"),
        ("0", "schema_version is 0, not 2"),
        ("true", "schema_version is true, not a whole number"),
    ],
)
def test_a_schema_version_out_of_range_is_refused_first(version, problem):
    """A file of another schema is refused by its version, whatever its other fields hold."""
    content = f'{{"schema_version": {version}, "text": 1}}'.encode()
    with pytest.raises(InvalidAdapter) as caught:
        read_versioned(content, Example, range(1, 3), "file.json", InvalidAdapter)
    assert str(caught.value) == f"file.json: {problem}"
    assert caught.value.field == "schema_version"


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_schema_version_is_read(version):
    """Every schema version in the range is read."""
    content = f'{{"schema_version": {version}, "text": "a"}}'.encode()
    assert read_versioned(content, Example, range(1, 3), "file.json", InvalidAdapter) == Example("a")


def test_unknown_fields_are_ignored():
    """A field that the reader does not know changes nothing."""
    assert read(b'{"text": "a", "later": [1]}') == Example("a")


def test_a_whole_number_is_read_as_a_float():
    """1 is a valid number where a float is expected."""
    assert read(b'{"text": "a", "number": 1}').number == 1.0


def test_written_json_reads_back():
    """What canonical_json writes, read_json reads."""
    value = Example("naïve \u2028", numbers={"x": 0.1})
    assert read(canonical_json(value)) == value


def test_values_of_other_libraries_are_written():
    """A NumPy float and a read-only mapping are written as a number and an object."""
    value = {"a": numpy.float64(0.1), "b": MappingProxyType({"c": 1})}
    assert json.loads(canonical_json(value)) == to_json(value) == {"a": 0.1, "b": {"c": 1}}


def test_nan_is_never_written():
    """NaN, which other JSON readers do not understand, is refused when writing."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"x": float("nan")})


def test_a_number_of_many_digits_is_one_line():
    """A number with more digits than Python parses is refused with the file's name and no advice on Python."""
    with pytest.raises(InvalidAdapter) as caught:
        read(b'{"text": "a", "unknown": ' + b"1" * 5000 + b"}")
    assert str(caught.value).endswith("file.json is not JSON: a number has 5000 digits, more than 1000")
