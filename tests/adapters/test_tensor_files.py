"""lorb_adapters.tensor_files."""

import json

import pytest
import torch
from safetensors.torch import save

from lorb.errors import InvalidAdapter
from lorb_adapters.tensor_files import MAX_HEADER_BYTES, MAX_TENSORS, read_tensors


def empty_tensors(count: int) -> bytes:
    """A safetensors file of many tensors without elements."""
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"{number:x}": entry for number in range(count)}).encode()
    return len(header).to_bytes(8, "little") + header


def test_tensors_are_read():
    """A file with as many tensors as allowed, and one with metadata, are read."""
    assert len(read_tensors(empty_tensors(MAX_TENSORS), "a.safetensors", InvalidAdapter)) == MAX_TENSORS
    content = save({"x": torch.ones(2)}, metadata={"format": "pt"})
    assert torch.equal(read_tensors(content, "a.safetensors", InvalidAdapter)["x"], torch.ones(2))


def test_too_many_tensors_are_refused():
    """One tensor more than allowed is refused with the file's name and both numbers."""
    content = empty_tensors(MAX_TENSORS + 2)
    with pytest.raises(InvalidAdapter, match=f"a.safetensors has {MAX_TENSORS + 2} tensors, more than {MAX_TENSORS}$"):
        read_tensors(content, "a.safetensors", InvalidAdapter)


def test_a_large_header_is_refused_before_it_is_parsed():
    """The header of 800,000 tensors is refused by its size, with the file's name, the size and the limit."""
    content = empty_tensors(800_000)
    size = len(content) - 8
    with pytest.raises(
        InvalidAdapter,
        match=rf"^a\.safetensors: its header is larger than {MAX_HEADER_BYTES} bytes: it has {size}$",
    ):
        read_tensors(content, "a.safetensors", InvalidAdapter)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x10",
        (2**63).to_bytes(8, "little") + b"{}",
        (5).to_bytes(8, "little") + b"1    ",
        (100_000).to_bytes(8, "little") + b"[" * 100_000,
        (3).to_bytes(8, "little") + b"\xff\xff\xff",
    ],
)
def test_a_broken_file_is_named(content):
    """A file that is no safetensors file is refused by name."""
    with pytest.raises(InvalidAdapter, match=r"^a\.safetensors is not a safetensors file: ") as caught:
        read_tensors(content, "a.safetensors", InvalidAdapter)
    assert caught.value.field == "a.safetensors"
