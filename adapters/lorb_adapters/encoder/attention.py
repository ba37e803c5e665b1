"""Attention of packed rows, each to itself alone, straight from the fused query, key and value."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lorb_adapters.encoder.packing import PackedRows, varlen
from lorb_adapters.encoder.workspace import Workspace

# Scores in one batched product: 4 MiB in fp32, which the processor's cache holds until they are used.
_MAX_SCORES = 1 << 20


class RowAttention(Protocol):
    """How the rows of one pass attend; the same object serves all layers."""

    def __call__(self, qkv: Tensor) -> Tensor:
        """qkv: [tokens, 3 * hidden]; returns [tokens, hidden], which the next call may overwrite."""
        ...


def row_attention(
    rows: PackedRows, num_tokens: int, num_heads: int, head_size: int, dtype: torch.dtype, scratch: Workspace
) -> RowAttention:
    """The fastest exact attention for these rows on their device in this dtype.

    num_tokens: of the pass, those behind the last row included, whose context means nothing.
    """
    if rows.token_ids.is_cuda and dtype != torch.float32:
        return VarlenAttention(rows.offsets, rows.max_length, num_heads, head_size)
    return EqualLengthAttention(rows, num_tokens, num_heads, head_size, dtype, scratch)


class VarlenAttention:
    """One variable-length kernel for all rows; CUDA, 16 bits."""

    def __init__(self, offsets: Tensor, max_length: int, num_heads: int, head_size: int) -> None:
        """offsets: [rows + 1] int32, read by every call; max_length: of a row, the same in every call."""
        self._offsets = offsets
        self._max_length = max_length
        self._shape = (-1, 3, num_heads, head_size)

    def __call__(self, qkv: Tensor) -> Tensor:
        """As RowAttention has it."""
        q, k, v = qkv.view(self._shape).unbind(1)
        return varlen(q, k, v, self._offsets, self._max_length).flatten(1)


class BlockAttention:
    """All tokens against all, those of other rows masked out: any device and dtype, for few tokens.

    Like VarlenAttention it reads where rows begin from a tensor at every call.
    """

    def __init__(self, offsets: Tensor, num_heads: int, head_size: int) -> None:
        """offsets: [rows + 1] int32, from 0 to the number of tokens."""
        self._offsets = offsets
        self._shape = (-1, 3, num_heads, head_size)

    def __call__(self, qkv: Tensor) -> Tensor:
        """As RowAttention has it."""
        q, k, v = qkv.view(self._shape).permute(1, 2, 0, 3)[:, None]  # each [1, heads, tokens, head size]
        tokens = torch.arange(len(qkv), dtype=torch.int32, device=qkv.device)
        rows = torch.searchsorted(self._offsets, tokens, right=True)
        out = functional.scaled_dot_product_attention(q, k, v, rows[:, None] == rows)
        return out[0].transpose(0, 1).flatten(1)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Views of the buffers for some heads of equally long rows; all fp32, the same for every layer.

    Attributes:
        q, v, out: [rows * heads, length, head size]
        k: [rows * heads, head size, length]
        scores, weights: [rows * heads, length, length], before and after the softmax
    """

    q: Tensor
    k: Tensor
    v: Tensor
    scores: Tensor
    weights: Tensor
    out: Tensor

    def attend(self, scaling: float) -> None:
        """Fills `out`. The softmax in place would take twice as long."""
        torch.baddbmm(self.scores, self.q, self.k, beta=0, alpha=scaling, out=self.scores)
        torch.softmax(self.scores, -1, out=self.weights)
        torch.bmm(self.weights, self.v, out=self.out)


class EqualLengthAttention:
    """Rows of one length share batched products, wherever they lie; softmax and both products in fp32.

    One gather an attention brings [tokens, 3, heads, head size] into the order length, row, head, token, and one brings
    the result back: cheaper than a copy for every run of equal lengths, and no dearer where many adapters break the
    runs up. In bfloat16 oneDNN would compile both products anew for every number of rows.
    """

    def __init__(
        self, rows: PackedRows, num_tokens: int, num_heads: int, head_size: int, dtype: torch.dtype, scratch: Workspace
    ) -> None:
        order, batches = by_length(rows.lengths, num_heads)
        back = np.zeros(num_tokens * num_heads, np.int32)
        back[order] = np.arange(len(order))
        queries = order + 2 * num_heads * (order // num_heads)  # from [token, head] to [token, 3, head]
        there = np.concatenate([queries, queries + num_heads, queries + 2 * num_heads])
        device = rows.token_ids.device
        self._there = torch.from_numpy(there).to(device)
        self._back = torch.from_numpy(back).to(device)
        self._size = head_size
        self._gathered = scratch.take("gathered", (len(there), head_size), dtype)
        # the very same buffer where the dtype is fp32
        self._in_fp32 = scratch.take("gathered", (len(there), head_size), torch.float32)
        self._attended = scratch.take("attended", (len(order), head_size), torch.float32)
        self._context = scratch.take("context", (len(back), head_size), dtype)
        self._batches = _views(batches, self._in_fp32.view(3, len(order), head_size), self._attended, scratch)

    def __call__(self, qkv: Tensor) -> Tensor:
        """As RowAttention has it."""
        torch.index_select(qkv.view(-1, self._size), 0, self._there, out=self._gathered)
        if self._gathered.dtype != torch.float32:
            self._in_fp32.copy_(self._gathered)
        for batch in self._batches:
            batch.attend(self._size**-0.5)
        torch.index_select(self._attended.to(qkv.dtype), 0, self._back, out=self._context)
        return self._context.view(qkv.shape[0], -1)


def _views(batches: Sequence[tuple[int, int, int]], qkv: Tensor, attended: Tensor, scratch: Workspace) -> list[_Batch]:
    """qkv: [3, elements, head size], attended: [elements, head size], both in the order of the batches."""
    largest = max(count * length**2 for _, count, length in batches)
    scores, weights = (scratch.take(name, (largest,), torch.float32) for name in ("scores", "weights"))
    views = []
    for first, count, length in batches:
        span, shape = slice(first, first + count * length), (count, length, length)
        q, k, v = qkv[:, span].view(3, count, length, -1)
        square = slice(count * length**2)
        out = attended[span].view(count, length, -1)
        views.append(_Batch(q, k.mT, v, scores[square].view(shape), weights[square].view(shape), out))
    return views


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
