"""Packs rows of tokens end to end, without padding."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from lorb_adapters.text import EncodedHypothesis


@dataclass(frozen=True, slots=True)
class PackedRows:
    """The tokens of a batch's rows, and where each row lies. Tensors are on the encoder's device.

    Attributes:
        token_ids, type_ids, position_ids: the id, token type and position id of each token, each [1, tokens].
        starts: the position of each row's first token, [rows].
        offsets: `starts` followed by the number of all tokens, [rows + 1] int32; for the variable-length kernel.
        scored_positions: the position of each scored token among the packed tokens, [scored tokens].
        scored_rows: the row of each scored token, [scored tokens].
        num_scored: the number of scored tokens of each row, [rows] float.
        lengths: the number of tokens of each row, [rows].
        max_length: the number of tokens of the longest row; for the variable-length kernel.
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
    def num_rows(self) -> int:
        """The number of rows."""
        return self.starts.shape[0]

    @property
    def num_tokens(self) -> int:
        """The number of tokens of all rows."""
        return self.token_ids.shape[1]


def pack(
    rows: Sequence[EncodedHypothesis], *, first_position: int = 0, device: torch.device | str = "cpu"
) -> PackedRows:
    """Lays `rows` end to end in the order given.

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
    token_ids, type_ids, position_ids, device_offsets, scored, scored_rows, num_scored = _to_device(
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
        starts=device_offsets[:-1],
        offsets=device_offsets.int(),
        scored_positions=scored,
        scored_rows=scored_rows,
        num_scored=num_scored.float(),
        lengths=tuple(lengths.tolist()),
        max_length=int(lengths.max()),
    )


def _to_device(arrays: Sequence[np.ndarray], device: torch.device) -> Iterable[Tensor]:
    """Copies the arrays to the device in one transfer, without waiting for it. Returns a tensor for each array."""
    if device.type == "cpu":
        return map(torch.from_numpy, arrays)
    joined = torch.from_numpy(np.concatenate(arrays))
    if device.type == "cuda":
        joined = joined.pin_memory()
    return torch.split(joined.to(device, non_blocking=True), [len(array) for array in arrays])
