"""Reading JSON that others may have written: types are checked, and complaints name the file and the key."""

import json
import math
from collections.abc import Callable, Mapping
from typing import NoReturn, TypeVar

from lorb.errors import LorbError

_T = TypeVar("_T")


class JsonFields:
    """One JSON object. `error` is what a missing or mistyped value raises, with the key as its field."""

    def __init__(self, value: object, place: str, error: type[LorbError], path: str = "") -> None:
        self._place = place
        self._error = error
        self._path = path
        if not isinstance(value, dict):
            raise error(f"{place}: {path or 'its top'} is not an object", field=path)
        self._value: dict[str, object] = value

    @classmethod
    def parse(cls, content: bytes, place: str, error: type[LorbError]) -> "JsonFields":
        """Reads a whole file; `place` is its name, for messages."""
        try:
            value = json.loads(content, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as broken:
            raise error(f"{place} is not JSON: {broken}", field=place) from broken
        return cls(value, place, error)

    def __contains__(self, key: str) -> bool:
        return key in self._value

    def text(self, key: str) -> str:
        """A string."""
        value = self._value.get(key)
        if not isinstance(value, str):
            self._mistyped(key, value, "a string")
        return value

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self._value.get(key)
        if not isinstance(value, bool):
            self._mistyped(key, value, "true or false")
        return value

    def integer(self, key: str) -> int:
        """A whole number, not negative."""
        value = self._value.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            self._mistyped(key, value, "a whole number from 0")
        return value

    def number(self, key: str) -> float:
        """A finite number."""
        return self._number(key, self._value.get(key))

    def optional_number(self, key: str) -> float | None:
        """A finite number, or None where the key is absent or null."""
        return None if self._value.get(key) is None else self.number(key)

    def texts(self, key: str) -> dict[str, str]:
        """An object whose values are strings."""
        inner = self.fields(key)
        return {name: inner.text(name) for name in inner._value}

    def numbers(self, key: str) -> dict[str, float]:
        """An object whose values are finite numbers."""
        inner = self.fields(key)
        return {name: inner.number(name) for name in inner._value}

    def number_list(self, key: str) -> tuple[float, ...]:
        """An array of finite numbers."""
        return tuple(self._number(f"{key}[{i}]", value) for i, value in enumerate(self._array(key)))

    def fields(self, key: str) -> "JsonFields":
        """An object."""
        return JsonFields(self._value.get(key), self._place, self._error, self._at(key))

    def field_list(self, key: str) -> "list[JsonFields]":
        """An array of objects."""
        return [
            JsonFields(value, self._place, self._error, f"{self._at(key)}[{i}]")
            for i, value in enumerate(self._array(key))
        ]

    def field_map(self, key: str) -> "dict[str, JsonFields]":
        """An object whose values are objects."""
        inner = self.fields(key)
        return {name: inner.fields(name) for name in inner._value}

    def mapping(self) -> Mapping[str, object]:
        """The object as it stands, for a reader of its own."""
        return self._value

    def build(self, make: Callable[[], _T]) -> _T:
        """What `make` returns; its complaint about the values, if it has one, with the place in front."""
        try:
            return make()
        except LorbError as problem:
            path = f"{self._path}: " if self._path else ""
            raise self._error(f"{self._place}: {path}{problem}", field=problem.field) from problem

    def fail(self, key: str, problem: str) -> NoReturn:
        """Complains about `key`."""
        raise self._error(f"{self._place}: {self._at(key)} {problem}", field=self._at(key))

    def _array(self, key: str) -> list[object]:
        value = self._value.get(key)
        if not isinstance(value, list):
            self._mistyped(key, value, "an array")
        return value

    def _number(self, key: str, value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            self._mistyped(key, value, "a number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            self._mistyped(key, value, "a finite number")
        return number

    def _mistyped(self, key: str, value: object, kind: str) -> NoReturn:
        self.fail(key, f"is missing: it is {kind}" if value is None else f"is {repr(value)[:80]}, not {kind}")

    def _at(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key


def canonical_json(value: Mapping[str, object]) -> bytes:
    """How LoRB writes JSON files: readable, keys in the order given, no NaN or infinity."""
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
