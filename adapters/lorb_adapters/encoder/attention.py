"""Attention over packed rows: each row attends to its own tokens only. Query, key and value are one tensor."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lorb_adapters.encoder.memory import Workspace
from lorb_adapters.encoder.packing import PackedRows

# The maximum number of attention scores in one batched product. In fp32 they take 4 MiB: they fit a CPU's cache.
_MAX_SCORES = 1 << 20
# Rows of 6 to 15 tokens are padded to 16. torch's softmax takes up to 15 times as long for an element of a shorter row,
# because AVX-512 has 16 lanes. The padding of rows of fewer than 6 tokens would cost more than it saves.
_LANES = 16
_MIN_PADDED = 6


class PackedAttention(Protocol):
    """The attention of one batch. One object serves all layers."""

    def __call__(self, qkv: Tensor) -> Tensor:
        """Returns the attention's output, [tokens, hidden], which the next call may overwrite.

        qkv: queries, keys and values side by side, [tokens, 3 * hidden].
        """
        ...


def choose_attention(
    rows: PackedRows, num_tokens: int, num_heads: int, head_size: int, dtype: torch.dtype, workspace: Workspace
) -> PackedAttention:
    """Returns the fastest exact attention for these rows on their device in this dtype.

    num_tokens: the batch's tokens, including the padding at its end. The output for padding tokens is arbitrary.
    """
    if rows.token_ids.is_cuda and dtype != torch.float32:
        return VarlenAttention(rows.offsets, rows.max_length, num_heads, head_size)
    return EqualLengthAttention(rows, num_tokens, num_heads, head_size, dtype, workspace)


def varlen_attention(q: Tensor, k: Tensor, v: Tensor, offsets: Tensor, max_length: int) -> Tensor:
    """Returns the attention of all rows, computed by one kernel. Needs CUDA and a dtype of 16 bits.

    q, k, v and the result: [tokens, heads, head size].
    offsets: the first token of each row, then the number of tokens, [rows + 1] int32. A row may be empty; no row is
    longer than `max_length`.
    """
    from torch.nn.attention.varlen import varlen_attn

    # Passes positional arguments only: the keyword parameters of varlen_attn changed between torch 2.10 and 2.12.
    out = varlen_attn(q, k, v, offsets, offsets, max_length, max_length)
    return out[0] if isinstance(out, tuple) else out


class VarlenAttention:
    """Computes the attention of all rows with one variable-length kernel. Needs CUDA and a dtype of 16 bits."""

    def __init__(self, offsets: Tensor, max_length: int, num_heads: int, head_size: int) -> None:
        """offsets: as in `varlen_attention`; every call reads them again. max_length: no row has more tokens."""
        self._offsets = offsets
        self._max_length = max_length
        self._shape = (-1, 3, num_heads, head_size)

    def __call__(self, qkv: Tensor) -> Tensor:
        """Returns the attention's output, [tokens, hidden]; qkv: queries, keys and values, [tokens, 3 * hidden]."""
        q, k, v = qkv.view(self._shape).unbind(1)
        return varlen_attention(q, k, v, self._offsets, self._max_length).flatten(1)


class BlockDiagonalAttention:
    """Computes the attention between all tokens, and masks out the tokens of other rows.

    Works on any device in any dtype, but suits few tokens only: its cost grows with their square. Used where
    VarlenAttention has no kernel. Reads the offsets in every call, as VarlenAttention does.
    """

    def __init__(self, offsets: Tensor, num_heads: int, head_size: int) -> None:
        """offsets: the first token of each row, then the number of tokens, [rows + 1] int32."""
        self._offsets = offsets
        self._shape = (-1, 3, num_heads, head_size)

    def __call__(self, qkv: Tensor) -> Tensor:
        """Returns the attention's output, [tokens, hidden]; qkv: queries, keys and values, [tokens, 3 * hidden]."""
        q, k, v = qkv.view(self._shape).permute(1, 2, 0, 3)[:, None]  # each [1, heads, tokens, head size]
        tokens = torch.arange(len(qkv), dtype=torch.int32, device=qkv.device)
        rows = torch.searchsorted(self._offsets, tokens, right=True)
        out = functional.scaled_dot_product_attention(q, k, v, rows[:, None] == rows)
        return out[0].transpose(0, 1).flatten(1)


@dataclass(frozen=True, slots=True)
class _EqualLengthBatch:
    """The buffers of one batched product over equally long rows, as fp32 views. All layers use the same buffers.

    Attributes:
        q, v, out: queries, values and output, each [rows * heads, length, head size].
        k: keys, [rows * heads, head size, length].
        scores, weights: the softmax's input and its output, each [rows * heads, length, length].
        mask: 0 for the keys of a row and -inf for its padding, [rows * heads, 1, length]; None without padding.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    scores: Tensor
    weights: Tensor
    out: Tensor
    mask: Tensor | None

    def attend(self, scaling: float) -> None:
        """Writes the attention of these rows to `out`.

        The softmax writes to a buffer of its own: in place, it takes twice as long.
        """
        if self.mask is None:
            torch.baddbmm(self.scores, self.q, self.k, beta=0, alpha=scaling, out=self.scores)
        else:
            torch.baddbmm(self.mask, self.q, self.k, alpha=scaling, out=self.scores)
        torch.softmax(self.scores, -1, out=self.weights)
        torch.bmm(self.weights, self.v, out=self.out)


class EqualLengthAttention:
    """Computes the attention of rows of one length together, by batched products in fp32. Pads short rows.

    A first gather sorts queries, keys and values by row length, row, head and token. A second gather puts the output
    back into the order of the tokens. Two gathers cost less than one copy for each run of equally long rows, because
    every adapter starts new runs. bfloat16 inputs are computed in fp32 too: in bfloat16, oneDNN would compile both
    products again for every number of rows.
    """

    def __init__(
        self,
        rows: PackedRows,
        num_tokens: int,
        num_heads: int,
        head_size: int,
        dtype: torch.dtype,
        workspace: Workspace,
    ) -> None:
        lengths = np.asarray(rows.lengths, dtype=np.int32)
        widths = np.where((lengths >= _MIN_PADDED) & (lengths < _LANES), _LANES, lengths)
        order, batches = group_by_length(lengths, num_heads, widths)
        inverse = np.zeros(num_tokens * num_heads, np.int32)
        inverse[order] = np.arange(len(order))
        queries = order + 2 * num_heads * (order // num_heads)  # indices into [tokens, 3, heads]
        qkv_order = np.concatenate([queries, queries + num_heads, queries + 2 * num_heads])
        device = rows.token_ids.device
        self._qkv_order = torch.from_numpy(qkv_order).to(device)
        self._inverse = torch.from_numpy(inverse).to(device)
        self._head_size = head_size
        self._gathered = workspace.buffer("gathered", (len(qkv_order), head_size), dtype)
        # the same buffer as `_gathered` where the dtype is fp32
        self._in_fp32 = workspace.buffer("gathered", (len(qkv_order), head_size), torch.float32)
        self._attended = workspace.buffer("attended", (len(order), head_size), torch.float32)
        self._context = workspace.buffer("context", (len(inverse), head_size), dtype)
        mask = None
        if (widths > lengths).any():
            in_row = np.arange(_LANES) < np.repeat(lengths[widths == _LANES], num_heads)[:, None, None]
            mask = torch.from_numpy(np.where(in_row, 0.0, -np.inf).astype(np.float32)).to(device)
        qkv = self._in_fp32.view(3, len(order), head_size)
        self._batches = _views(batches, qkv, self._attended, mask, workspace)

    def __call__(self, qkv: Tensor) -> Tensor:
        """Returns the attention's output, [tokens, hidden], which the next call overwrites.

        qkv: queries, keys and values side by side, [tokens, 3 * hidden].
        """
        torch.index_select(qkv.view(-1, self._head_size), 0, self._qkv_order, out=self._gathered)
        if self._gathered.dtype != torch.float32:
            self._in_fp32.copy_(self._gathered)
        for batch in self._batches:
            batch.attend(self._head_size**-0.5)
        torch.index_select(self._attended.to(qkv.dtype), 0, self._inverse, out=self._context)
        return self._context.view(qkv.shape[0], -1)


def _views(
    batches: Sequence[tuple[int, int, int]],
    qkv: Tensor,
    attended: Tensor,
    mask: Tensor | None,
    workspace: Workspace,
) -> list[_EqualLengthBatch]:
    """Returns the buffers of each batch.

    batches: triples (first element, rows * heads, length), as `group_by_length` returns them.
    qkv: [3, elements, head size]. attended: [elements, head size]. Both hold the elements in the order of the batches.
    mask: of all rows of length `_LANES`, [rows * heads, 1, length]; None if none is padded.
    """
    largest = max(count * length**2 for _, count, length in batches)
    scores, weights = (workspace.buffer(name, (largest,), torch.float32) for name in ("scores", "weights"))
    views, masked = [], 0
    for first, count, length in batches:
        span, shape = slice(first, first + count * length), (count, length, length)
        q, k, v = qkv[:, span].view(3, count, length, -1)
        square = slice(count * length**2)
        out = attended[span].view(count, length, -1)
        own_mask = None
        if mask is not None and length == _LANES:
            own_mask, masked = mask[masked : masked + count], masked + count
        scores_view, weights_view = scores[square].view(shape), weights[square].view(shape)
        views.append(_EqualLengthBatch(q, k.mT, v, scores_view, weights_view, out, own_mask))
    return views


def group_by_length(
    lengths: Sequence[int] | np.ndarray, num_heads: int, padded_lengths: np.ndarray | None = None
) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    """Orders elements so that equally long rows are contiguous. An element is one head of one token.

    padded_lengths: the number of tokens that each row is padded to, by repeating its last token; by default, `lengths`.

    Returns (order, batches).
    order: the number of each element, in the new order. Head h of token t has the number t * num_heads + h.
    batches: for each product, a triple (first element in the new order, rows * heads, length).
    """
    row_lengths = np.asarray(lengths, dtype=np.int32)
    padded = row_lengths if padded_lengths is None else padded_lengths
    starts = np.cumsum(row_lengths) - row_lengths
    heads = np.arange(num_heads, dtype=np.int32)[:, None]
    order, batches, first = [], [], 0
    for length in np.unique(padded[padded > 0]).tolist():
        of_length = (padded == length).nonzero()[0][:, None, None]
        tokens = starts[of_length] + np.minimum(np.arange(length, dtype=np.int32), row_lengths[of_length] - 1)
        order.append((tokens * num_heads + heads).ravel())  # [rows, heads, length]
        max_count = max(1, _MAX_SCORES // length**2)
        remaining = len(tokens) * num_heads
        while remaining:
            count = min(max_count, remaining)
            batches.append((first, count, length))
            first, remaining = first + count * length, remaining - count
    return np.concatenate(order).astype(np.int32), batches
