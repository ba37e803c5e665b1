"""lorb_adapters.json_fields."""

import pytest

from lorb.errors import InvalidAdapter, StoreUnavailable
from lorb_adapters.json_fields import JsonFields, canonical_json


def fields(content: bytes) -> JsonFields:
    """Reads `content` as file.json."""
    return JsonFields.parse(content, "file.json", InvalidAdapter)


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\xff\xfe", b'{"a": NaN}', b'{"a": Infinity}', b"[" * 100_000])
def test_what_is_not_json_is_named(content):
    """A torn file, foreign bytes, NaN and bottomless nesting all name the file."""
    with pytest.raises(StoreUnavailable, match=r"file\.json is not JSON"):
        JsonFields.parse(content, "file.json", StoreUnavailable)


def test_an_array_at_the_top_is_refused():
    """A JSON file of LoRB is an object."""
    with pytest.raises(InvalidAdapter, match="its top is not an object"):
        fields(b"[1]")


@pytest.mark.parametrize(
    ("read", "content"),
    [
        (lambda f: f.text("a"), b'{"a": 1}'),
        (lambda f: f.flag("a"), b'{"a": 1}'),
        (lambda f: f.integer("a"), b'{"a": true}'),
        (lambda f: f.integer("a"), b'{"a": -1}'),
        (lambda f: f.integer("a"), b'{"a": 1.5}'),
        (lambda f: f.number("a"), b'{"a": "1"}'),
        (lambda f: f.number("a"), b'{"a": 1e999}'),
        (lambda f: f.number("a"), b'{"a": 1' + b"0" * 400 + b"}"),
        (lambda f: f.fields("a"), b'{"a": []}'),
        (lambda f: f.field_list("a"), b'{"a": {}}'),
        (lambda f: f.text("a"), b"{}"),
    ],
)
def test_a_wrong_type_names_the_key(read, content):
    """Every reader refuses a value of another type, and says which key it was."""
    with pytest.raises(InvalidAdapter) as caught:
        read(fields(content))
    assert caught.value.field == "a"
    assert str(caught.value).startswith("file.json: a ")


def test_a_nested_key_is_named_in_full():
    """A complaint from within gives the whole path."""
    inner = fields(b'{"a": [{"b": {"c": 1}}]}').field_list("a")[0].fields("b")
    with pytest.raises(InvalidAdapter, match=r"file\.json: a\[0\]\.b\.c is 1, not a string"):
        inner.text("c")


def test_written_json_reads_back():
    """What canonical_json writes, JsonFields reads."""
    read = fields(canonical_json({"text": "naïve \u2028", "numbers": {"x": 0.1}}))
    assert read.text("text") == "naïve \u2028"
    assert read.numbers("numbers") == {"x": 0.1}


def test_nan_is_never_written():
    """A number that no other JSON reader understands is refused when writing."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"x": float("nan")})
