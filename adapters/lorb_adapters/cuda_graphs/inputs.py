"""The static inputs of a CUDA graph: all that it reads about a batch's rows. One copy to the device fills them."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from lorb_adapters.cuda_graphs.graph import GraphBucket
from lorb_adapters.cuda_graphs.slot_lora import SLOT_RANK
from lorb_adapters.cuda_graphs.slots import NUM_SLOTS, rank_owners
from lorb_adapters.lora.head import HEAD_KINDS
from lorb_adapters.lora.weights import AdapterWeights
from lorb_adapters.text import EncodedHypothesis

_PADDING_OWNER = -2  # differs from -1, the owner of a rank that no adapter of the batch has
_ALIGNMENT = 4  # every part begins at a multiple of 16 bytes: 4 numbers


class StaticInputs:
    """One int32 tensor that never moves on the device, and named views of its parts.

    Attributes:
        bucket: the size of the batches.
        buffer: all parts, one after the other.
        token_ids, type_ids, position_ids: the id, token type and position id of each token, each [tokens].
        token_slots: [tokens], the first slot of the token's adapter.
        head_positions: [tokens], where the flattened scores [tokens, slots] have the token's score by its own head.
        scored_rows: [tokens], the row that the token's score counts for; `bucket.rows` if the score counts for no row.
        offsets: [rows + padding rows + 1], the first token of each row, then the number of tokens. Unused rows are
            empty and come last.
        starts: [rows], the first token of each row of the batch; 0 for unused rows.
        row_slots: [rows], the first slot of the row's adapter.
        head_kinds: [rows], the index in HEAD_KINDS of the kind of the row's head.
        num_scored: [rows], the number of scored tokens of the row; 1 for unused rows.
        rank_owners: [slots * SLOT_RANK], the first slot of the adapter that owns the rank; -1 if none does.
    """

    def __init__(self, bucket: GraphBucket, first_position: int, device: torch.device) -> None:
        """first_position: the position id of a row's first token."""
        self.bucket = bucket
        self._first_position = first_position
        self._spans = _spans(bucket)
        self.buffer = torch.zeros(self._spans[-1].stop, dtype=torch.int32, device=device)
        parts = [self.buffer[span] for span in self._spans]
        self.token_ids, self.type_ids, self.position_ids, self.token_slots, self.head_positions = parts[:5]
        self.scored_rows, self.offsets, self.starts, self.row_slots, self.head_kinds = parts[5:10]
        self.num_scored, self.rank_owners = parts[10:]

    def write(
        self,
        host: np.ndarray,
        rows: Sequence[EncodedHypothesis],
        adapters: Sequence[AdapterWeights],
        row_adapters: np.ndarray,
        slots: Sequence[tuple[int, ...]],
    ) -> None:
        """Writes to `host` what `buffer` must hold for a batch. The batch must fit the bucket.

        host: host memory, [size of buffer] int32. row_adapters: [rows], each row's index into `adapters` and `slots`.
        slots: the slots of each adapter.
        """
        parts = [host[span] for span in self._spans]
        lengths = np.fromiter((len(row.token_ids) for row in rows), np.int64, len(rows))
        scored_from = np.fromiter((row.scored_from for row in rows), np.int64, len(rows))
        row_slots = np.array([adapter_slots[0] for adapter_slots in slots])[row_adapters]
        kinds = np.array([HEAD_KINDS.index(weights.head.kind) for weights in adapters])[row_adapters]
        self._write_tokens(parts[:6], rows, lengths, scored_from, row_slots)
        self._write_rows(parts[6:11], lengths, scored_from, row_slots, kinds)
        parts[11][:] = rank_owners(slots)

    def _write_tokens(
        self,
        parts: Sequence[np.ndarray],
        rows: Sequence[EncodedHypothesis],
        lengths: np.ndarray,
        scored_from: np.ndarray,
        row_slots: np.ndarray,
    ) -> None:
        """Writes the first six parts, [tokens] each."""
        token_ids, type_ids, position_ids, token_slots, head_positions, scored_rows = parts
        num_tokens = int(lengths.sum())
        row_of_token = np.repeat(np.arange(len(rows)), lengths)
        position_in_row = np.arange(num_tokens) - (np.cumsum(lengths) - lengths)[row_of_token]
        token_ids[:num_tokens] = np.fromiter(chain.from_iterable(row.token_ids for row in rows), np.int32, num_tokens)
        type_ids[:num_tokens] = np.fromiter(chain.from_iterable(row.type_ids for row in rows), np.int32, num_tokens)
        position_ids[:num_tokens] = position_in_row + self._first_position
        token_slots[:num_tokens] = row_slots[row_of_token]
        head_positions[:] = np.arange(self.bucket.tokens) * NUM_SLOTS
        head_positions[:num_tokens] += token_slots[:num_tokens]
        is_scored = position_in_row >= scored_from[row_of_token]
        scored_rows[:num_tokens] = np.where(is_scored, row_of_token, self.bucket.rows)
        for part, padding in zip(parts[:4], (0, 0, self._first_position, _PADDING_OWNER), strict=True):
            part[num_tokens:] = padding
        scored_rows[num_tokens:] = self.bucket.rows

    def _write_rows(
        self,
        parts: Sequence[np.ndarray],
        lengths: np.ndarray,
        scored_from: np.ndarray,
        row_slots: np.ndarray,
        kinds: np.ndarray,
    ) -> None:
        """Writes the offsets, and the four parts that are [rows] each."""
        offsets, *row_parts = parts
        num_rows, ends, longest = len(lengths), np.cumsum(lengths), self.bucket.max_row_tokens
        offsets[:] = self.bucket.tokens
        offsets[0] = 0
        offsets[1 : num_rows + 1] = ends
        padding_ends = np.arange(int(ends[-1]) + longest, self.bucket.tokens, longest)
        offsets[num_rows + 1 : num_rows + 1 + len(padding_ends)] = padding_ends
        values = (ends - lengths, row_slots, kinds, lengths - scored_from)
        for part, row_values, padding in zip(row_parts, values, (0, 0, 0, 1), strict=True):
            part[:num_rows] = row_values
            part[num_rows:] = padding


def _spans(bucket: GraphBucket) -> list[slice]:
    """Returns the range of each part in the buffer."""
    sizes = [bucket.tokens] * 6 + [bucket.rows + bucket.padding_rows + 1] + [bucket.rows] * 4 + [NUM_SLOTS * SLOT_RANK]
    spans, position = [], 0
    for size in sizes:
        spans.append(slice(position, position + size))
        position += -(-size // _ALIGNMENT) * _ALIGNMENT
    return spans


class PinnedBuffers:
    """Two alternating host buffers: one is copied to the device while the other is filled. Not thread-safe."""

    def __init__(self, size: int, device: torch.device) -> None:
        """size: the size of the largest copy, in int32 numbers."""
        self._is_cuda = device.type == "cuda"
        self._buffers = [torch.zeros(size, dtype=torch.int32, pin_memory=self._is_cuda) for _ in range(2)]
        self._copied: list[torch.cuda.Event | None] = [None, None]
        self._turn = 0

    def acquire(self) -> np.ndarray:
        """Returns the next buffer to write to, [size]; first waits for the last copy from this buffer."""
        copied = self._copied[self._turn]
        if copied is not None:
            copied.synchronize()
        buffer: np.ndarray = self._buffers[self._turn].numpy()
        return buffer

    def send(self, target: Tensor) -> None:
        """Starts the copy of the acquired buffer to `target`, int32 on the device, in the stream's order."""
        target.copy_(self._buffers[self._turn][: len(target)], non_blocking=True)
        if self._is_cuda:
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record()
            self._copied[self._turn] = event
        self._turn = 1 - self._turn
