"""Reads and writes LoRB's JSON files; an error names the file and the field's path."""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec
from msgspec import Meta

from lorb.errors import LorbError

_T = TypeVar("_T")
_Json = Any  # a result of json.loads

_SHA256 = "^[0-9a-f]{64}$"
_MAX_DIGITS = 1000  # the time to parse a whole number grows with the square of its digits

# JSON has no infinity, but Python parses the number 1e999 as infinity. The bounds refuse it.
Finite = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
NonNegative = Annotated[float, Meta(ge=0, le=sys.float_info.max)]
Positive = Annotated[float, Meta(gt=0, le=sys.float_info.max)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Sha256 = Annotated[str, Meta(pattern=_SHA256, max_length=64)]  # the length refuses a final line feed, which `$` allows

# Replacements for the expected type in msgspec's messages. The first key that a message contains applies.
_EXPECTED = {
    _SHA256: "64 lower-case hex digits",
    "`float` <= 1.0": "a share from 0 to 1",
    str(sys.float_info.max): "a finite number",
    "out of range": "a finite number",
    "`str` of length <= 64": "64 lower-case hex digits",
    "`float` >= 0": "a number from 0",
    "`float` > 0": "a number above 0",
    "`int` >= 0": "a whole number from 0",
    "`int` <= 9223372036854775807": "a whole number below 2^63",
    "`str`": "a string",
    "`bool`": "true or false",
    "`int`": "a whole number",
    "`float`": "a number",
    "`object`": "an object",
    "`array` of length": "an array that is long enough",
    "`array`": "an array",
}
_MISSING = re.compile(r"Object missing required field `(.+)`")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_STEP = re.compile(r"\.(\w+)|\[(\d+|\.\.\.)\]")


def read_json(content: bytes, kind: type[_T], place: str, error: type[LorbError]) -> _T:
    """Parses a whole file and converts it to `kind`.

    Unknown fields are ignored. Whole numbers are accepted as floats; no other type is converted.

    Args:
        content: the file's bytes.
        kind: a msgspec struct, a dataclass or a plain type.
        place: the file's name, for messages.
        error: raised for invalid content; its `field` is the path of the invalid value, such as "history[2].time".
    """
    return from_json(parse_json(content, place, error), kind, place, error)


def read_versioned(content: bytes, kind: type[_T], versions: range, place: str, error: type[LorbError]) -> _T:
    """Parses a file whose field `schema_version` must be one of `versions`, and converts it to `kind`.

    Raises `error`, which names `place` and the field.
    """
    value = parse_json(content, place, error)
    check_schema_version(value, versions, place, error)
    return from_json(value, kind, place, error)


def check_schema_version(value: object, versions: range, place: str, error: type[LorbError]) -> None:
    """Raises `error` if the field `schema_version` of parsed JSON is not one of `versions`.

    Call it before `from_json`: the other fields of a newer file may have other types.
    """
    version, newest = from_json(value, _SchemaVersion, place, error).schema_version, versions[-1]
    if version > newest:
        problem = f"is {version}, newer than the {newest} that this LoRB reads: upgrade LoRB"
    elif version not in versions:
        problem = f"is {version}, not {newest}"
    else:
        return
    raise error(f"{place}: schema_version {problem}", field="schema_version")


def parse_json(content: bytes, place: str, error: type[LorbError]) -> object:
    """Parses a whole file.

    Raises `error`, which names `place`, if it is not JSON in UTF-8, or if it contains NaN, a number of over 1000 digits
    or half a surrogate pair.
    """
    try:
        text = content.decode("utf-8-sig")  # json.loads would let encoded surrogates through
        value = json.loads(text, parse_constant=_refuse_constant, parse_int=_parse_int)
        if _SURROGATE_ESCAPE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as problem:
        raise error(f"{place}: a string holds half a surrogate pair", field=place) from problem
    except (ValueError, RecursionError) as problem:
        raise error(f"{place} is not JSON: {problem}", field=place) from problem
    return value


def from_json(value: object, kind: type[_T], place: str, error: type[LorbError], path: str = "") -> _T:
    """Converts parsed JSON to `kind`; `path` is the path of `value` in the file `place`.

    A struct or dataclass checks its own values in `__post_init__` and raises a ValueError that begins with the field's
    name, as in "share is 7, not above 0 and at most 1".
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as problem:
        inner_path, complaint = _explain(value, kind, problem)
        full_path = f"{path}{inner_path}".removeprefix(".")
        raise error(f"{place}: {full_path or 'the top level'} {complaint}", field=full_path) from problem


def canonical_json(value: object) -> bytes:
    """Renders a value as a file's content: indented JSON, fields in their order of definition.

    Raises ValueError for NaN and infinity, and for a string with half a surrogate pair.
    """
    plain = msgspec.to_builtins(value, enc_hook=_to_builtin)
    return (json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def to_json(value: object) -> dict[str, Any]:
    """Returns the fields of a struct or dataclass as parsed JSON: dictionaries, lists, strings and numbers."""
    fields: dict[str, Any] = json.loads(json.dumps(msgspec.to_builtins(value, enc_hook=_to_builtin)))
    return fields


def flattened_json(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yields a pair (path, value) for every value that is neither an object nor a list with an object in it.

    A path is, for example, "history[2].time". `path`: the path of `value` itself.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flattened_json(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for i, inner in enumerate(value):
            yield from flattened_json(inner, f"{path}[{i}]")
    else:
        yield path, value


def _to_builtin(value: object) -> object:
    """Converts types that msgspec does not support: subclasses of float, such as NumPy's float64, and mappings."""
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


class _SchemaVersion(msgspec.Struct):
    schema_version: Count


def _parse_int(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits, more than {_MAX_DIGITS}")
    return int(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _explain(value: _Json, kind: type, problem: msgspec.ValidationError) -> tuple[str, str]:
    """Returns the path of the refused value, and what is wrong with the value.

    Reads both from msgspec's message, such as "Expected `int`, got `str` - at `$.a[0].b`".
    """
    post_init_error = str(problem.__cause__ or "")  # may quote any text of the file, even " - at `$"
    message, _, steps = str(problem).removeprefix(post_init_error).partition(" - at `$")
    path, refused = _resolve(value, kind, problem, steps)
    if post_init_error:
        name, _, complaint = post_init_error.partition(" ")
        return f"{path}.{name}", complaint
    if missing := _MISSING.fullmatch(message):
        return f"{path}.{missing[1]}", "is missing"
    shown = json.dumps(refused)[:80]
    expected = message.partition(", got ")[0]
    for part, words in _EXPECTED.items():
        if part in expected:
            return path, f"is {shown}, not {words}"
    return path, f"is {shown}: {message}"


def _resolve(root: _Json, kind: type, problem: msgspec.ValidationError, steps: str) -> tuple[str, _Json]:
    """Returns the path of the refused value, and the value.

    steps: msgspec's path, which has "[...]" in place of a key of a mapping.
    """
    path, value = "", root
    keys: list[str | int] = []
    for name, index in _STEP.findall(steps):
        key: str | int = int(index) if index.isdigit() else name
        if index == "...":
            key = _refused_key(root, keys, value, kind, problem)
        keys.append(key)
        path += f"[{key}]" if index.isdigit() else f".{key}"
        value = value[key]
    return path, value


def _refused_key(
    root: _Json,
    path: list[str | int],
    mapping: dict[str, _Json],
    kind: type,
    problem: msgspec.ValidationError,
) -> str:
    """Returns the first key of the mapping at `path` whose value is refused.

    Bisects the keys, because a hostile file may have millions of them.
    """
    keys = list(mapping)
    while len(keys) > 1:
        half = keys[: len(keys) // 2]
        try:
            msgspec.convert(_replaced(root, path, {key: mapping[key] for key in half}), kind)
            is_refused = False
        except msgspec.ValidationError as found:
            is_refused = str(found) == str(problem)
        keys = half if is_refused else keys[len(half) :]
    return keys[0]


def _replaced(value: _Json, path: list[str | int], part: _Json) -> _Json:
    """Returns a copy of `value` with `part` at `path`."""
    if not path:
        return part
    changed = value.copy()
    changed[path[0]] = _replaced(value[path[0]], path[1:], part)
    return changed
