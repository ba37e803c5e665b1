"""All that a captured pass reads of its rows, in one tensor that never moves and is filled by one copy."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch

from lorb_adapters.cuda_graphs.adapter_slots import NUM_SLOTS, owners_of_columns
from lorb_adapters.cuda_graphs.bucket import GraphBucket
from lorb_adapters.cuda_graphs.lora_columns import SLOT_RANK
from lorb_adapters.lora.head import HEAD_KINDS
from lorb_adapters.lora.weights import AdapterWeights
from lorb_adapters.text import EncodedHypothesis

_NOBODY = -2  # the adapter of a token that fills up; a column that nobody has is of -1
_STEP = 4  # numbers in 16 bytes, at which every part begins


class StaticInputs:
    """One tensor on the device, int32, and its parts by name.

    Attributes:
        shape: of the pass.
        buffer: all parts, one after the other.
        token_ids, type_ids, position_ids: [tokens]
        token_slots: [tokens], the first slot of the token's adapter.
        head_places: [tokens], where the score by its own head is among those by all, [tokens, slots] laid flat.
        scored_rows: [tokens], the row that its score is part of; `shape.rows` where of none.
        offsets: [rows + spare rows + 1], where each row begins; the last, empty ones at the end.
        starts: [rows], the same for those that are scored, in bounds for unused ones too.
        row_slots: [rows], the first slot of the row's adapter.
        head_kinds: [rows], the place of its head's kind in HEAD_KINDS.
        num_scored: [rows], scored tokens.
        column_owners: [columns], the first slot of the adapter that has the column.
    """

    def __init__(self, shape: GraphBucket, first_position: int, device: torch.device) -> None:
        """first_position: position id of a row's first token."""
        self.shape = shape
        self._first_position = first_position
        self._spans = _spans(shape)
        self.buffer = torch.zeros(self._spans[-1].stop, dtype=torch.int32, device=device)
        parts = [self.buffer[span] for span in self._spans]
        self.token_ids, self.type_ids, self.position_ids, self.token_slots, self.head_places, self.scored_rows = parts[
            :6
        ]
        self.offsets, self.starts, self.row_slots, self.head_kinds, self.num_scored, self.column_owners = parts[6:]

    def write(
        self,
        there: np.ndarray,
        rows: Sequence[EncodedHypothesis],
        adapters: Sequence[AdapterWeights],
        row_adapters: np.ndarray,
        slots: Sequence[tuple[int, ...]],
    ) -> None:
        """Writes what `buffer` is to hold for these rows, which the shape has room for, into plain memory.

        there: [size of buffer] int32; row_adapters: [rows], indices into `adapters` and `slots`, the slots of each.
        """
        shape, num_rows = self.shape, len(rows)
        parts = [there[span] for span in self._spans]
        token_ids, type_ids, position_ids, token_slots, head_places, scored_rows = parts[:6]
        offsets, starts, row_slots, head_kinds, num_scored, column_owners = parts[6:]

        lengths = np.fromiter((len(row.token_ids) for row in rows), np.int64, num_rows)
        scored_from = np.fromiter((row.scored_from for row in rows), np.int64, num_rows)
        ends = np.cumsum(lengths)
        num_tokens = int(ends[-1])
        row_of_token = np.repeat(np.arange(num_rows), lengths)
        position_in_row = np.arange(num_tokens) - (ends - lengths)[row_of_token]
        first_slots = np.array([of_adapter[0] for of_adapter in slots])[row_adapters]
        kinds = np.array([HEAD_KINDS.index(weights.head.kind) for weights in adapters])[row_adapters]

        token_ids[:num_tokens] = np.fromiter(chain.from_iterable(row.token_ids for row in rows), np.int32, num_tokens)
        type_ids[:num_tokens] = np.fromiter(chain.from_iterable(row.type_ids for row in rows), np.int32, num_tokens)
        position_ids[:num_tokens] = position_in_row + self._first_position
        token_slots[:num_tokens] = first_slots[row_of_token]
        head_places[:] = np.arange(shape.tokens) * NUM_SLOTS
        head_places[:num_tokens] += token_slots[:num_tokens]
        is_scored = position_in_row >= scored_from[row_of_token]
        scored_rows[:num_tokens] = np.where(is_scored, row_of_token, shape.rows)
        for part, filling in zip(parts[:4], (0, 0, self._first_position, _NOBODY), strict=True):
            part[num_tokens:] = filling
        scored_rows[num_tokens:] = shape.rows

        offsets[:] = shape.tokens
        offsets[0] = 0
        offsets[1 : num_rows + 1] = ends
        fillers = np.arange(num_tokens + shape.longest, shape.tokens, shape.longest)
        offsets[num_rows + 1 : num_rows + 1 + len(fillers)] = fillers
        for part, of_rows, filling in (
            (starts, ends - lengths, 0),
            (row_slots, first_slots, 0),
            (head_kinds, kinds, 0),
            (num_scored, lengths - scored_from, 1),
        ):
            part[:num_rows] = of_rows
            part[num_rows:] = filling
        column_owners[:] = owners_of_columns(slots)


def _spans(shape: GraphBucket) -> list[slice]:
    """Where the parts are."""
    sizes = [shape.tokens] * 6 + [shape.rows + shape.spare_rows + 1] + [shape.rows] * 4 + [NUM_SLOTS * SLOT_RANK]
    spans, at = [], 0
    for size in sizes:
        spans.append(slice(at, at + size))
        at += -(-size // _STEP) * _STEP
    return spans
