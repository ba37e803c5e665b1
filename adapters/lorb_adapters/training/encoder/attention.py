"""Attention of packed rows with gradients; a row's tokens attend to the row, and to a prefix if there is one."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lorb_adapters.encoder.attention import group_by_length, varlen_attention
from lorb_adapters.encoder.packing import PackedRows

# Keys and values that every row attends to besides its own, each of shape [prefix length, heads * head size].
Prefix = tuple[Tensor, Tensor]


class TrainingAttention:
    """The attention of one forward pass; one object serves all layers.

    Rows of equal length share batched products. The elements are therefore gathered from packed order (token by token)
    into length order (rows of one length together), and back.
    """

    def __init__(self, rows: PackedRows, num_heads: int, head_size: int) -> None:
        self._rows, self._heads, self._size = rows, num_heads, head_size
        order, self._batches = group_by_length(rows.lengths, num_heads)
        queries = order + 2 * num_heads * (order // num_heads)  # from [token, head] to [token, 3, head]
        qkv_order = np.concatenate([queries, queries + num_heads, queries + 2 * num_heads])
        # Gather indices from packed order to length order, and back: two for contexts, [token, head], and two for qkv.
        self._to_length_order, self._to_packed_order, self._qkv_to_length_order, self._qkv_to_packed_order = (
            torch.from_numpy(each).to(rows.token_ids.device)
            for each in (order, _inverse(order), qkv_order, _inverse(qkv_order))
        )

    def __call__(self, qkv: Tensor, prefix: Prefix | None = None) -> Tensor:
        """Returns the context, [tokens, hidden], with zeros for the padding after the last row.

        qkv: queries, keys and values, [tokens, 3 * hidden].
        """
        if prefix is not None:
            return self._with_prefix(qkv, prefix)
        if qkv.is_cuda and qkv.dtype != torch.float32:
            q, k, v = qkv.view(-1, 3, self._heads, self._size).unbind(1)
            return varlen_attention(q, k, v, self._rows.offsets, self._rows.max_length).flatten(1)
        context: Tensor = _EqualLengthAttention.apply(qkv, self)  # type: ignore[no-untyped-call]
        return context

    def _with_prefix(self, qkv: Tensor, prefix: Prefix) -> Tensor:
        """Returns the context of rows that attend to a prefix too, [tokens, hidden].

        Calls torch's differentiable attention in fp32, once for each row length; in bf16 a step took twice as long.
        """
        heads, size = self._heads, self._size
        gathered = qkv.reshape(-1, size).index_select(0, self._qkv_to_length_order).float().view(3, -1, size)
        keys, values = (each.float().view(len(each), heads, size).transpose(0, 1) for each in prefix)
        contexts = []
        for first, count, length in _merge_equal_lengths(self._batches):
            q, k, v = gathered[:, first : first + count * length].view(3, count // heads, heads, length, size)
            k = torch.cat([keys.expand(count // heads, -1, -1, -1), k], dim=2)
            v = torch.cat([values.expand(count // heads, -1, -1, -1), v], dim=2)
            contexts.append(functional.scaled_dot_product_attention(q, k, v).flatten(0, 2))
        context = torch.cat(contexts).to(qkv.dtype).index_select(0, self._to_packed_order)
        return _pad_tokens(context.view(self._rows.num_tokens, -1), len(qkv))

    def attend(self, qkv: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Returns the context, [tokens, hidden], and the last two arguments of `gradient`.

        These are qkv in length order, [3, tokens * heads, head size], and the attention weights of each batch,
        [rows * heads, row length, row length]. qkv: queries, keys and values, [tokens, 3 * hidden].
        """
        gathered = (
            qkv.reshape(-1, self._size).index_select(0, self._qkv_to_length_order).float().view(3, -1, self._size)
        )
        attended = torch.empty_like(gathered[0])
        weights = []
        for first, count, length in self._batches:
            q, k, v = gathered[:, first : first + count * length].view(3, count, length, self._size)
            scores = torch.bmm(q, k.mT).mul_(self._size**-0.5)
            weights.append(torch.softmax(scores, -1))
            torch.bmm(weights[-1], v, out=attended[first : first + count * length].view(count, length, self._size))
        context = attended.to(qkv.dtype).index_select(0, self._to_packed_order)
        return _pad_tokens(context.view(self._rows.num_tokens, -1), len(qkv)), gathered, weights

    def gradient(self, grad: Tensor, gathered: Tensor, weights: list[Tensor]) -> Tensor:
        """Returns the gradient of qkv, [tokens, 3 * hidden].

        grad: gradient of the context, [tokens, hidden]. gathered, weights: returned by `attend`.
        """
        grad_context = grad.reshape(-1, self._size).index_select(0, self._to_length_order).float()
        out = torch.empty_like(gathered)
        for (first, count, length), p in zip(self._batches, weights, strict=True):
            part = slice(first, first + count * length)
            shape = (count, length, self._size)
            q, k, v = gathered[:, part].view(3, *shape)
            d_q, d_k, d_v = out[:, part].view(3, *shape)
            d_context = grad_context[part].view(shape)
            torch.bmm(p.mT, d_context, out=d_v)
            d_scores = torch._softmax_backward_data(torch.bmm(d_context, v.mT), p, -1, p.dtype)
            d_scores.mul_(self._size**-0.5)
            torch.bmm(d_scores, k, out=d_q)
            torch.bmm(d_scores.mT, q, out=d_k)
        grad_qkv = out.view(-1, self._size).to(grad.dtype).index_select(0, self._qkv_to_packed_order)
        return _pad_tokens(grad_qkv.view(self._rows.num_tokens, -1), len(grad))


class _EqualLengthAttention(torch.autograd.Function):
    """Attention with softmax and matrix products in fp32.

    Each pass gathers into length order once, before all products, and back into packed order once, after them.
    """

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, attention: TrainingAttention) -> Tensor:  # noqa: ANN401 - torch has no type
        context, gathered, weights = attention.attend(qkv)
        ctx.save_for_backward(gathered, *weights)
        ctx.attention = attention
        return context

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        gathered, *weights = ctx.saved_tensors
        return ctx.attention.gradient(grad, gathered, weights), None


def _pad_tokens(x: Tensor, num_tokens: int) -> Tensor:
    """Pads `x`, [tokens of the rows, size], with rows of zeros to [num_tokens, size]."""
    return functional.pad(x, (0, 0, 0, num_tokens - len(x))) if num_tokens > len(x) else x


def _inverse(order: np.ndarray) -> np.ndarray:
    inverse = np.empty_like(order)
    inverse[order] = np.arange(len(order), dtype=order.dtype)
    return inverse


def _merge_equal_lengths(batches: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Merges neighbouring batches of rows of equal length.

    `group_by_length` limits the size of a batch, so two batches may hold different heads of the same row.
    """
    merged: list[tuple[int, int, int]] = []
    for first, count, length in batches:
        if merged and merged[-1][2] == length:
            merged[-1] = (merged[-1][0], merged[-1][1] + count, length)
        else:
            merged.append((first, count, length))
    return merged
