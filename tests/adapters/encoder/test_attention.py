"""Attention of packed rows: equal to plain attention of each row alone."""

import pytest
import torch

from lorb_adapters.encoder import attention as module
from lorb_adapters.encoder.attention import BlockDiagonalAttention, EqualLengthAttention, choose_attention
from lorb_adapters.encoder.memory import Workspace
from lorb_adapters.encoder.packing import pack
from lorb_adapters.text import EncodedHypothesis

HEADS, SIZE = 3, 4


def rows_of(lengths):
    return pack([EncodedHypothesis((1,) * n, (0,) * n, 0, False) for n in lengths])


def row_by_row(qkv, lengths):
    """Plain attention of each row in float64."""
    contexts = []
    for part in qkv.double().split(lengths):
        q, k, v = part.view(-1, 3, HEADS, SIZE).permute(1, 2, 0, 3)
        attended = torch.softmax(q @ k.mT / SIZE**0.5, -1) @ v
        contexts.append(attended.transpose(0, 1).flatten(1))
    return torch.cat(contexts)


@pytest.mark.parametrize("max_scores", [1, 40, 1 << 20])
@pytest.mark.parametrize("lengths", [[5], [1, 1, 1], [4, 2, 4, 7, 2, 1, 4], [9, 16, 5, 6, 15, 17, 9]])
def test_each_row_attends_to_itself(monkeypatch, lengths, max_scores):
    """The result is plain attention for any order of lengths and any limit on the size of one product."""
    monkeypatch.setattr(module, "_MAX_SCORES", max_scores)
    qkv = torch.randn(sum(lengths), 3 * HEADS * SIZE, generator=torch.Generator().manual_seed(0))
    attention = choose_attention(
        rows_of(lengths), sum(lengths), HEADS, SIZE, torch.float32, Workspace(torch.device("cpu"))
    )
    torch.testing.assert_close(attention(qkv).double(), row_by_row(qkv, lengths), rtol=1e-5, atol=1e-6)


def test_bfloat16_is_rounded_only_at_the_ends():
    """Attention scores and sums are fp32: the result is the exact one, rounded, beside padding tokens too."""
    lengths = [60, 3, 60]
    qkv = (4 * torch.randn(123, 3 * HEADS * SIZE, generator=torch.Generator().manual_seed(1))).bfloat16()
    attention = EqualLengthAttention(rows_of(lengths), 130, HEADS, SIZE, torch.bfloat16, Workspace(torch.device("cpu")))
    out = attention(torch.cat([qkv, torch.zeros(7, qkv.shape[1], dtype=torch.bfloat16)]))
    assert out.shape == (130, HEADS * SIZE)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out[:123].double(), row_by_row(qkv, lengths), rtol=2**-8, atol=1e-5)


@pytest.mark.parametrize("offsets", [[0, 9], [0, 1, 2, 9], [0, 4, 9, 9, 9]])
def test_block_diagonal_attention_reads_the_offsets_in_every_call(offsets):
    """The same object serves changed offsets, empty rows at the end included."""
    current = torch.zeros(5, dtype=torch.int32)
    attention = BlockDiagonalAttention(current, HEADS, SIZE)
    qkv = torch.randn(9, 3 * HEADS * SIZE, generator=torch.Generator().manual_seed(2))
    for each in ([0, 3, 9], offsets):
        current[:] = torch.tensor(each + each[-1:] * (5 - len(each)))
        lengths = [stop - start for start, stop in zip(each, each[1:], strict=False)]
        torch.testing.assert_close(attention(qkv).double(), row_by_row(qkv, lengths), rtol=1e-5, atol=1e-6)
