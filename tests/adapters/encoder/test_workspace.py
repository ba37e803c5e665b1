"""Scratch: memory that is used again, and grows no further than it must."""

import torch

from lorb_adapters.encoder.workspace import Workspace


def test_a_smaller_view_uses_the_memory_of_the_larger():
    """Taking less after more allocates nothing; taking more replaces the buffer."""
    scratch = Workspace(torch.device("cpu"))
    large = scratch.take("x", (4, 8), torch.float32)
    small = scratch.take("x", (3, 2), torch.float32)
    assert small.shape == (3, 2)
    assert small.is_contiguous()
    assert small.data_ptr() == large.data_ptr()
    assert scratch.size_bytes == 4 * 8 * 4
    scratch.take("x", (5, 8), torch.float32)
    assert scratch.size_bytes == 5 * 8 * 4


def test_names_and_dtypes_have_their_own_memory():
    """What is written under one name or dtype is not seen under another."""
    scratch = Workspace(torch.device("cpu"))
    first = scratch.take("x", (4,), torch.float32).fill_(1)
    scratch.take("y", (4,), torch.float32).fill_(2)
    scratch.take("x", (4,), torch.bfloat16).fill_(3)
    assert first.tolist() == [1] * 4
