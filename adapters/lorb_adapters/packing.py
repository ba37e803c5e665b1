"""Rows laid end to end without padding, and attention that keeps them apart.

The encoder is called on [1, tokens]. On CUDA one variable-length kernel serves all rows; on CPU rows of equal length
stand together and share one scaled-dot-product call.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface

from lorb_adapters.text import EncodedRow

PACKED_ATTENTION = "lorb_packed"


@dataclass(frozen=True, slots=True)
class PackedRows:
    """Where each row lies among the packed tokens. Tensors are on the encoder's device.

    Attributes:
        token_ids, type_ids, position_ids: [1, tokens]
        starts: [rows], first token of each row
        offsets: [rows + 1] int32, the same with the end, for the variable-length kernel
        scored_positions: [scored tokens], positions among the packed tokens
        scored_rows: [scored tokens], the row of each
        num_scored: [rows] float
        equal_lengths: (first token, rows, length) of each run of equally long rows
        max_length: tokens in the longest row
    """

    token_ids: Tensor
    type_ids: Tensor
    position_ids: Tensor
    starts: Tensor
    offsets: Tensor
    scored_positions: Tensor
    scored_rows: Tensor
    num_scored: Tensor
    equal_lengths: tuple[tuple[int, int, int], ...]
    max_length: int

    @property
    def num_rows(self) -> int:
        """How many rows are packed."""
        return self.starts.shape[0]

    @property
    def num_tokens(self) -> int:
        """How many tokens the encoder reads."""
        return self.token_ids.shape[1]


def pack(rows: Sequence[EncodedRow], *, first_position: int = 0, device: torch.device | str = "cpu") -> PackedRows:
    """Lays `rows` end to end in the order given; runs of equal length are found, not made: sort beforehand.

    first_position: the encoder's position id of a row's first token (RoBERTa counts from padding_idx + 1).
    """
    lengths = torch.tensor([row.num_tokens for row in rows])
    scored_from = torch.tensor([row.scored_from for row in rows])
    offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    row_of_token = torch.repeat_interleave(torch.arange(len(rows)), lengths)
    position_in_row = torch.arange(int(offsets[-1])) - offsets[row_of_token]
    scored_positions = (position_in_row >= scored_from[row_of_token]).nonzero()[:, 0]

    def there(tensor: Tensor) -> Tensor:
        return tensor.to(device, non_blocking=True)

    return PackedRows(
        token_ids=there(torch.tensor([[t for row in rows for t in row.token_ids]])),
        type_ids=there(torch.tensor([[t for row in rows for t in row.type_ids]])),
        position_ids=there(position_in_row[None] + first_position),
        starts=there(offsets[:-1]),
        offsets=there(offsets.to(torch.int32)),
        scored_positions=there(scored_positions),
        scored_rows=there(row_of_token[scored_positions]),
        num_scored=there((lengths - scored_from).float()),
        equal_lengths=_runs(lengths.tolist()),
        max_length=int(lengths.max()),
    )


def _runs(lengths: Sequence[int]) -> tuple[tuple[int, int, int], ...]:
    runs: list[tuple[int, int, int]] = []
    start = 0
    for length in lengths:
        if runs and runs[-1][2] == length:
            first, count, _ = runs[-1]
            runs[-1] = (first, count + 1, length)
        else:
            runs.append((start, 1, length))
        start += length
    return tuple(runs)


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    packed_rows: PackedRows,
    dropout: float = 0.0,
    scaling: float | None = None,
    **_: Any,  # noqa: ANN401 - transformers passes whatever the caller of the encoder gave
) -> tuple[Tensor, None]:
    """Each row attends to itself alone. Arguments and result as transformers' AttentionInterface has them.

    query, key, value: [1, heads, tokens, head size]; returns [1, tokens, heads, head size].
    """
    q, k, v = (tensor[0].transpose(0, 1) for tensor in (query, key, value))  # [tokens, heads, head size]
    if query.is_cuda and query.dtype != torch.float32:
        return _varlen(q, k, v, packed_rows)[None], None
    # split, not slices: its gradient is one concatenation instead of a padded tensor for every run
    sizes = [count * length for _, count, length in packed_rows.equal_lengths]
    parts = [
        _equal_length_attention(
            *(part.view(count, length, *part.shape[1:]) for part in run), dropout=dropout, scaling=scaling
        )
        for (_, count, length), *run in zip(
            packed_rows.equal_lengths, torch.split(q, sizes), torch.split(k, sizes), torch.split(v, sizes), strict=True
        )
    ]
    return torch.cat(parts)[None], None


def _equal_length_attention(q: Tensor, k: Tensor, v: Tensor, *, dropout: float, scaling: float | None) -> Tensor:
    """Plain attention of [rows, length, heads, head size]; returns [rows * length, heads, head size]."""
    out = functional.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), dropout_p=dropout, scale=scaling
    )
    return out.transpose(1, 2).flatten(0, 1)


def _varlen(q: Tensor, k: Tensor, v: Tensor, rows: PackedRows) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    # Seven positional arguments: the keywords after them changed between torch 2.10 and 2.12.
    out = varlen_attn(q, k, v, rows.offsets, rows.offsets, rows.max_length, rows.max_length)
    return out[0] if isinstance(out, tuple) else out


AttentionInterface.register(PACKED_ATTENTION, packed_attention)
AttentionMaskInterface.register(PACKED_ATTENTION, lambda *_args, **_kwargs: None)
