"""Checks types of JSON values, and parses numbers as tools print them."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lorb.errors import MalformedFile
from lorb.formats.notices import Notices

_NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_PLAIN = re.compile(_NUMBER)
# str(tensor): "tensor(-12.3000)", "tensor(-12.3000, device='cuda:0', dtype=torch.float64)", "tensor([-12.3])"
_TENSOR = re.compile(rf"tensor\(\[?\s*({_NUMBER})\s*\]?(?:,[^()]*(?:\([^()]*\))?[^()]*)?\)")


def require_object(value: object, path: Path, line: int, name: str) -> Mapping[str, object]:
    """Returns `value` if it is a JSON object. Otherwise raises MalformedFile, which calls the value `name`."""
    if not isinstance(value, dict):
        raise MalformedFile(path, line, f"{name} is not an object")
    return value


def require_array(value: object, path: Path, line: int, name: str) -> Sequence[object]:
    """Returns `value` if it is a JSON array. Otherwise raises MalformedFile, which calls the value `name`."""
    if not isinstance(value, list):
        raise MalformedFile(path, line, f"{name} is not an array")
    return value


def require_text(value: object, path: Path, line: int, name: str) -> str:
    """Returns `value` if it is text. Otherwise raises MalformedFile, which calls the value `name`."""
    if not isinstance(value, str):
        raise MalformedFile(path, line, f"{name} is not text")
    return value


def require_number(value: object, path: Path, line: int, name: str) -> float:
    """Converts a number, or text with a number, to float. Otherwise raises MalformedFile, which calls it `name`."""
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    raise MalformedFile(path, line, f"{name} is not a number")


def parse_score(text: str, path: Path, line: int, notices: Notices) -> float:
    """Parses a finite number, printed plainly or as a PyTorch tensor of one element. Raises MalformedFile."""
    text = text.strip()
    tensor = _TENSOR.fullmatch(text)
    if tensor:
        notices.add("scores parsed from tensor(...), which has four decimals")
        text = tensor[1]
    if not _PLAIN.fullmatch(text):
        raise MalformedFile(path, line, f"{text[:80]!r} is not a finite number")
    number = float(text)
    if not math.isfinite(number):
        raise MalformedFile(path, line, f"{text[:80]!r} is too large")
    return number
