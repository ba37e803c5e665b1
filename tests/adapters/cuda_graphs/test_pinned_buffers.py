"""The memory that inputs are written into."""

import pytest
import torch

from lorb_adapters.cuda_graphs.pinned_buffers import PinnedBuffers


def send(staging, value, into):
    staging.take()[: len(into)] = value
    staging.send(into)


def test_what_is_written_arrives():
    """In turns, and no more of it than the receiver holds."""
    staging = PinnedBuffers(4, torch.device("cpu"))
    receivers = [torch.zeros(size, dtype=torch.int32) for size in (4, 2, 3)]
    for value, into in enumerate(receivers, start=1):
        send(staging, value, into)
    assert [each.tolist() for each in receivers] == [[1] * 4, [2] * 2, [3] * 3]


@pytest.mark.gpu
def test_a_buffer_under_way_is_not_written_into():
    """Many copies behind much work on the device: each receiver has its own numbers."""
    size = 1 << 20
    staging = PinnedBuffers(size, torch.device("cuda"))
    busy = torch.randn(4096, 4096, device="cuda")
    receivers = [torch.zeros(size, dtype=torch.int32, device="cuda") for _ in range(12)]
    for value, into in enumerate(receivers, start=1):
        for _ in range(3):
            busy = busy @ busy * 1e-4
        send(staging, value, into)
    assert [bool((into == value).all()) for value, into in enumerate(receivers, start=1)] == [True] * 12
