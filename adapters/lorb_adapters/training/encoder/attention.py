"""Attention of packed rows with gradients, each row to itself alone."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lorb_adapters.encoder.attention import by_length
from lorb_adapters.encoder.packing import PackedRows, varlen

# Keys and values, [length, heads * head size] each, that every row attends to beside its own.
Prefix = tuple[Tensor, Tensor]


class TrainingAttention:
    """The attention of one pass; the same object serves all its layers."""

    def __init__(self, rows: PackedRows, num_heads: int, head_size: int) -> None:
        self._rows, self._heads, self._size = rows, num_heads, head_size
        order, self._batches = by_length(rows.lengths, num_heads)
        queries = order + 2 * num_heads * (order // num_heads)  # from [token, head] to [token, 3, head]
        there = np.concatenate([queries, queries + num_heads, queries + 2 * num_heads])
        self._order, self._back, self._there, self._back_there = (
            torch.from_numpy(each).to(rows.token_ids.device)
            for each in (order, _inverse(order), there, _inverse(there))
        )

    def __call__(self, qkv: Tensor, prefix: Prefix | None = None) -> Tensor:
        """qkv: [tokens, 3 * hidden]; returns [tokens, hidden]. Tokens behind the last row get a context of 0."""
        if prefix is not None:
            return self._with_prefix(qkv, prefix)
        if qkv.is_cuda and qkv.dtype != torch.float32:
            q, k, v = qkv.view(-1, 3, self._heads, self._size).unbind(1)
            return varlen(q, k, v, self._rows.offsets, self._rows.max_length).flatten(1)
        context: Tensor = _EqualLengths.apply(qkv, self)  # type: ignore[no-untyped-call]
        return context

    def _with_prefix(self, qkv: Tensor, prefix: Prefix) -> Tensor:
        """Plain differentiable products in fp32, row length by row length; in bf16 a step took twice as long."""
        heads, size = self._heads, self._size
        gathered = qkv.reshape(-1, size).index_select(0, self._there).float().view(3, -1, size)
        keys, values = (each.float().view(len(each), heads, size).transpose(0, 1) for each in prefix)
        parts = []
        for first, count, length in _whole_rows(self._batches, heads):
            q, k, v = gathered[:, first : first + count * length].view(3, count // heads, heads, length, size)
            k = torch.cat([keys.expand(count // heads, -1, -1, -1), k], dim=2)
            v = torch.cat([values.expand(count // heads, -1, -1, -1), v], dim=2)
            parts.append(functional.scaled_dot_product_attention(q, k, v).flatten(0, 2))
        context = torch.cat(parts).to(qkv.dtype).index_select(0, self._back)
        return _as_many(context.view(self._rows.num_tokens, -1), len(qkv))

    def attend(self, qkv: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """The context [tokens, hidden], and what its gradient needs: the parts by row length and their weights."""
        gathered = qkv.reshape(-1, self._size).index_select(0, self._there).float().view(3, -1, self._size)
        attended = torch.empty_like(gathered[0])
        weights = []
        for first, count, length in self._batches:
            q, k, v = gathered[:, first : first + count * length].view(3, count, length, self._size)
            scores = torch.bmm(q, k.mT).mul_(self._size**-0.5)
            weights.append(torch.softmax(scores, -1))
            torch.bmm(weights[-1], v, out=attended[first : first + count * length].view(count, length, self._size))
        context = attended.to(qkv.dtype).index_select(0, self._back)
        return _as_many(context.view(self._rows.num_tokens, -1), len(qkv)), gathered, weights

    def gradient(self, grad: Tensor, gathered: Tensor, weights: list[Tensor]) -> Tensor:
        """The gradient to qkv, [tokens, 3 * hidden], from that of the context."""
        attended = grad.reshape(-1, self._size).index_select(0, self._order).float()
        out = torch.empty_like(gathered)
        for (first, count, length), p in zip(self._batches, weights, strict=True):
            part = slice(first, first + count * length)
            shape = (count, length, self._size)
            q, k, v = gathered[:, part].view(3, *shape)
            d_q, d_k, d_v = out[:, part].view(3, *shape)
            d_context = attended[part].view(shape)
            torch.bmm(p.mT, d_context, out=d_v)
            d_scores = torch._softmax_backward_data(torch.bmm(d_context, v.mT), p, -1, p.dtype)
            d_scores.mul_(self._size**-0.5)
            torch.bmm(d_scores, k, out=d_q)
            torch.bmm(d_scores.mT, q, out=d_k)
        back = out.view(-1, self._size).to(grad.dtype).index_select(0, self._back_there)
        return _as_many(back.view(self._rows.num_tokens, -1), len(grad))


class _EqualLengths(torch.autograd.Function):
    """Softmax and products in fp32; one gather there and one back, whatever the number of row lengths."""

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


def _as_many(x: Tensor, num_tokens: int) -> Tensor:
    """[tokens of the rows, size] with zeros for those behind them."""
    return functional.pad(x, (0, 0, 0, num_tokens - len(x))) if num_tokens > len(x) else x


def _inverse(order: np.ndarray) -> np.ndarray:
    inverse = np.empty_like(order)
    inverse[order] = np.arange(len(order), dtype=order.dtype)
    return inverse


def _whole_rows(batches: list[tuple[int, int, int]], heads: int) -> list[tuple[int, int, int]]:
    """The same with neighbours of one length as one: a bound on size may have cut between the heads of a row."""
    whole: list[tuple[int, int, int]] = []
    for first, count, length in batches:
        if whole and whole[-1][2] == length:
            whole[-1] = (whole[-1][0], whole[-1][1] + count, length)
        else:
            whole.append((first, count, length))
    return whole
