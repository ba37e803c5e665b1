"""Checks of what a tool's JSON holds, each refusal with file and line."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lorb.errors import MalformedFile


def checked_object(value: object, path: Path, line: int, name: str) -> Mapping[str, object]:
    """Returns `value` if it is an object. Raises MalformedFile that says `name` is none."""
    if not isinstance(value, dict):
        raise MalformedFile(path, line, f"{name} is not an object")
    return value


def checked_array(value: object, path: Path, line: int, name: str) -> Sequence[object]:
    """Returns `value` if it is an array. Raises MalformedFile that says `name` is none."""
    if not isinstance(value, list):
        raise MalformedFile(path, line, f"{name} is not an array")
    return value


def checked_text(value: object, path: Path, line: int, name: str) -> str:
    """Returns `value` if it is text. Raises MalformedFile that says `name` is none."""
    if not isinstance(value, str):
        raise MalformedFile(path, line, f"{name} is not text")
    return value


def checked_number(value: object, path: Path, line: int, name: str) -> float:
    """Returns `value`, a number or the text of one, as a number. Raises MalformedFile."""
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    raise MalformedFile(path, line, f"{name} is not a number")
