"""Attention of packed rows, each to itself alone, straight from the fused query, key and value."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lorb_adapters.packing import PackedRows, varlen
from lorb_adapters.scratch import Scratch

# Scores in one batched product: 4 MiB in fp32, which the processor's cache holds until they are used.
_MAX_SCORES = 1 << 20


class RowAttention(Protocol):
    """How the rows of one pass attend; the same object serves all layers."""

    def __call__(self, qkv: Tensor) -> Tensor:
        """qkv: [tokens, 3 * hidden]; returns [tokens, hidden], which the next call may overwrite."""
        ...


def row_attention(
    rows: PackedRows, num_heads: int, head_size: int, dtype: torch.dtype, scratch: Scratch
) -> RowAttention:
    """The fastest exact attention for these rows on their device in this dtype."""
    if rows.token_ids.is_cuda and dtype != torch.float32:
        return VarlenAttention(rows, num_heads, head_size)
    return EqualLengthAttention(rows, num_heads, head_size, scratch)


class VarlenAttention:
    """One variable-length kernel for all rows; CUDA, 16 bits."""

    def __init__(self, rows: PackedRows, num_heads: int, head_size: int) -> None:
        self._rows = rows
        self._shape = (rows.num_tokens, 3, num_heads, head_size)

    def __call__(self, qkv: Tensor) -> Tensor:
        """As RowAttention has it."""
        q, k, v = qkv.view(self._shape).unbind(1)
        return varlen(q, k, v, self._rows).flatten(1)


class EqualLengthAttention:
    """Rows of one length share batched products, wherever they lie; softmax and both products in fp32.

    One gather an attention brings [tokens, 3, heads, head size] into the order length, row, head, token, and one brings
    the result back: cheaper than a copy for every run of equal lengths, and no dearer where many adapters break the
    runs up. In bfloat16 the products would be 26 times slower on processors without the instructions for it.
    """

    def __init__(self, rows: PackedRows, num_heads: int, head_size: int, scratch: Scratch) -> None:
        self._size = head_size
        self._scratch = scratch
        order, self._batches = by_length(rows.lengths, num_heads)
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        queries = order + 2 * num_heads * (order // num_heads)  # from [token, head] to [token, 3, head]
        there = np.concatenate([queries, queries + num_heads, queries + 2 * num_heads])
        device = rows.token_ids.device
        self._there = torch.from_numpy(there).to(device)
        self._back = torch.from_numpy(back).to(device)

    def __call__(self, qkv: Tensor) -> Tensor:
        """As RowAttention has it."""
        count = len(self._back)
        gathered = self._scratch.take("gathered", (3 * count, self._size), qkv.dtype)
        torch.index_select(qkv.view(-1, self._size), 0, self._there, out=gathered)
        attended = self._scratch.take("attended", (count, self._size), torch.float32)
        self._attend(self._in_fp32(gathered).view(3, count, self._size), attended)
        context = self._scratch.take("context", (count, self._size), qkv.dtype)
        torch.index_select(attended.to(qkv.dtype), 0, self._back, out=context)
        return context.view(qkv.shape[0], -1)

    def _in_fp32(self, gathered: Tensor) -> Tensor:
        if gathered.dtype == torch.float32:
            return gathered
        return self._scratch.take("gathered", tuple(gathered.shape), torch.float32).copy_(gathered)

    def _attend(self, qkv: Tensor, out: Tensor) -> None:
        """qkv: [3, elements, head size], out: [elements, head size], both in the order of the batches."""
        for first, count, length in self._batches:
            q, k, v = qkv[:, first : first + count * length].view(3, count, length, self._size)
            scores = self._scratch.take("scores", (count, length, length), torch.float32)
            torch.baddbmm(scores, q, k.mT, beta=0, alpha=self._size**-0.5, out=scores)
            torch.softmax(scores, -1, out=scores)
            torch.bmm(scores, v, out=out[first : first + count * length].view(count, length, self._size))


def by_length(lengths: Sequence[int], num_heads: int) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    """Where each (token, head), numbered token by token, comes from when equally long rows stand together.

    Returns the numbers in the new order, and the batches: (first element, rows times heads, length).
    """
    lengths_ = np.asarray(lengths, dtype=np.int32)
    starts = np.cumsum(lengths_) - lengths_
    heads = np.arange(num_heads, dtype=np.int32)[:, None]
    order, batches, first = [], [], 0
    for length in np.unique(lengths_[lengths_ > 0]).tolist():
        tokens = starts[lengths_ == length, None, None] + np.arange(length, dtype=np.int32)
        order.append((tokens * num_heads + heads).ravel())  # [rows, heads, length]
        most = max(1, _MAX_SCORES // length**2)
        left = len(tokens) * num_heads
        while left:
            count = min(most, left)
            batches.append((first, count, length))
            first, left = first + count * length, left - count
    return np.concatenate(order).astype(np.int32), batches
