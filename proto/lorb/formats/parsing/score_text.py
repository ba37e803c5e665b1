"""A number as tools print it: plain, or as PyTorch prints a tensor of one element."""

import math
import re
from pathlib import Path

from lorb.errors import MalformedFile
from lorb.formats.warnings import Notices

_NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_PLAIN = re.compile(_NUMBER)
# str(tensor): "tensor(-12.3000)", "tensor(-12.3000, device='cuda:0', dtype=torch.float64)", "tensor([-12.3])"
_TENSOR = re.compile(rf"tensor\(\[?\s*({_NUMBER})\s*\]?(?:,[^()]*(?:\([^()]*\))?[^()]*)?\)")


def parsed_score(text: str, path: Path, line: int, notices: Notices) -> float:
    """The finite number that `text` holds. Raises MalformedFile."""
    text = text.strip()
    tensor = _TENSOR.fullmatch(text)
    if tensor:
        notices.add("scores taken out of tensor(...), which prints four decimals")
        text = tensor[1]
    if not _PLAIN.fullmatch(text):
        raise MalformedFile(path, line, f"{text[:80]!r} is not a finite number")
    number = float(text)
    if not math.isfinite(number):
        raise MalformedFile(path, line, f"{text[:80]!r} is too large")
    return number
