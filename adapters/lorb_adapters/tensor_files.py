"""Reads the content of a safetensors file after checking its header's size and its number of tensors."""

import json

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from lorb.errors import LorbError

MAX_HEADER_BYTES = 1024 * 1024
MAX_TENSORS = 4096
_LENGTH_BYTES = 8  # the file begins with the header's length, little-endian


def read_tensors(content: bytes, place: str, error: type[LorbError]) -> dict[str, Tensor]:
    """Returns the tensors by name, on the CPU.

    Raises `error`, which names `place`, if the file is broken, or its header or its number of tensors is too large:
    the library would take half a minute for the header of 800,000 tensors.
    """
    header_bytes = int.from_bytes(content[:_LENGTH_BYTES], "little")
    if MAX_HEADER_BYTES < header_bytes <= len(content):
        raise error(f"{place}: its header is larger than {MAX_HEADER_BYTES} bytes: it has {header_bytes}", field=place)
    try:
        if header_bytes <= len(content):
            num_tensors = len(json.loads(content[_LENGTH_BYTES : _LENGTH_BYTES + header_bytes]))
            if num_tensors > MAX_TENSORS + 1:  # the header may also have an entry with metadata
                raise error(f"{place} has {num_tensors} tensors, more than {MAX_TENSORS}", field=place)
        return load(content)
    except (SafetensorError, ValueError, KeyError, RuntimeError, RecursionError, TypeError) as problem:
        raise error(f"{place} is not a safetensors file: {problem}", field=place) from problem
