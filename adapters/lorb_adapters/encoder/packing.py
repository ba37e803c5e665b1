"""Rows laid end to end without padding, and attention that keeps them apart.

The encoder is called on [1, tokens]. On CUDA one variable-length kernel serves all rows; on CPU rows of equal length
stand together and share one scaled-dot-product call.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface

from lorb_adapters.text import EncodedHypothesis

PACKED_ATTENTION = "lorb_packed"


@dataclass(frozen=True, slots=True)
class PackedRows:
    """Where each row lies among the packed tokens. Tensors are on the encoder's device, the rest is in plain memory.

    Attributes:
        token_ids, type_ids, position_ids: [1, tokens]
        starts: [rows], first token of each row
        offsets: [rows + 1] int32, the same with the end, for the variable-length kernel
        scored_positions: [scored tokens], positions among the packed tokens
        scored_rows: [scored tokens], the row of each
        num_scored: [rows] float
        lengths: [rows], tokens in each row
        max_length: what the variable-length kernel may rely on: tokens in the longest row, or more
    """

    token_ids: Tensor
    type_ids: Tensor
    position_ids: Tensor
    starts: Tensor
    offsets: Tensor
    scored_positions: Tensor
    scored_rows: Tensor
    num_scored: Tensor
    lengths: tuple[int, ...]
    max_length: int

    @property
    def equal_lengths(self) -> tuple[tuple[int, int, int], ...]:
        """Runs of equally long rows: (first token, rows, length)."""
        return _runs(self.lengths)

    @property
    def num_rows(self) -> int:
        """How many rows are packed."""
        return self.starts.shape[0]

    @property
    def num_tokens(self) -> int:
        """How many tokens the encoder reads."""
        return self.token_ids.shape[1]


def pack(
    rows: Sequence[EncodedHypothesis], *, first_position: int = 0, device: torch.device | str = "cpu"
) -> PackedRows:
    """Lays `rows` end to end in the order given; runs of equal length are found, not made: sort beforehand.

    first_position: the encoder's position id of a row's first token (RoBERTa counts from padding_idx + 1).
    """
    num_rows = len(rows)
    lengths = np.fromiter((len(row.token_ids) for row in rows), np.int64, num_rows)
    scored_from = np.fromiter((row.scored_from for row in rows), np.int64, num_rows)
    offsets = np.zeros(num_rows + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    num_tokens = int(offsets[-1])
    row_of_token = np.repeat(np.arange(num_rows), lengths)
    position_in_row = np.arange(num_tokens) - offsets[row_of_token]
    [scored_positions] = np.nonzero(position_in_row >= scored_from[row_of_token])
    token_ids, type_ids, position_ids, offsets_there, scored, scored_rows, num_scored = _to_device(
        (
            np.fromiter(chain.from_iterable(row.token_ids for row in rows), np.int64, num_tokens),
            np.fromiter(chain.from_iterable(row.type_ids for row in rows), np.int64, num_tokens),
            position_in_row + first_position,
            offsets,
            scored_positions,
            row_of_token[scored_positions],
            lengths - scored_from,
        ),
        torch.device(device),
    )
    return PackedRows(
        token_ids=token_ids[None],
        type_ids=type_ids[None],
        position_ids=position_ids[None],
        starts=offsets_there[:-1],
        offsets=offsets_there.int(),
        scored_positions=scored,
        scored_rows=scored_rows,
        num_scored=num_scored.float(),
        lengths=tuple(lengths.tolist()),
        max_length=int(lengths.max()),
    )


def _to_device(arrays: Sequence[np.ndarray], device: torch.device) -> Iterable[Tensor]:
    """The arrays on the device, in one copy that the host does not wait for."""
    if device.type == "cpu":
        return map(torch.from_numpy, arrays)
    together = torch.from_numpy(np.concatenate(arrays))
    if device.type == "cuda":
        together = together.pin_memory()
    return torch.split(together.to(device, non_blocking=True), [len(array) for array in arrays])


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
        return varlen(q, k, v, packed_rows.offsets, packed_rows.max_length)[None], None
    # split, not slices: its gradient is one concatenation instead of a padded tensor for every run
    runs = packed_rows.equal_lengths
    sizes = [count * length for _, count, length in runs]
    parts = [
        _equal_length_attention(
            *(part.view(count, length, *part.shape[1:]) for part in run), dropout=dropout, scaling=scaling
        )
        for (_, count, length), *run in zip(
            runs, torch.split(q, sizes), torch.split(k, sizes), torch.split(v, sizes), strict=True
        )
    ]
    return torch.cat(parts)[None], None


def _equal_length_attention(q: Tensor, k: Tensor, v: Tensor, *, dropout: float, scaling: float | None) -> Tensor:
    """Plain attention of [rows, length, heads, head size]; returns [rows * length, heads, head size]."""
    out = functional.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), dropout_p=dropout, scale=scaling
    )
    return out.transpose(1, 2).flatten(0, 1)


def varlen(q: Tensor, k: Tensor, v: Tensor, offsets: Tensor, max_length: int) -> Tensor:
    """Each row's attention in one kernel, CUDA and 16 bits only; all [tokens, heads, head size].

    offsets: [rows + 1] int32, from 0 to the number of tokens; a row may be empty, none longer than `max_length`.
    """
    from torch.nn.attention.varlen import varlen_attn

    # Seven positional arguments: the keywords after them changed between torch 2.10 and 2.12.
    out = varlen_attn(q, k, v, offsets, offsets, max_length, max_length)
    return out[0] if isinstance(out, tuple) else out


AttentionInterface.register(PACKED_ATTENTION, packed_attention)
AttentionMaskInterface.register(PACKED_ATTENTION, lambda *_args, **_kwargs: None)
