"""The rescoring model of trainer and server: one frozen encoder, any mix of adapters, one score per hypothesis."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lorb_adapters.base.loader import Base
from lorb_adapters.encoder.head_scores import mixed_head_scores
from lorb_adapters.encoder.packed_encoder import PackedEncoder
from lorb_adapters.encoder.packing import PackedRows, pack
from lorb_adapters.encoder.segments import adapter_segments
from lorb_adapters.lora.weights import AdapterWeights
from lorb_adapters.text import EncodedHypothesis


@dataclass(frozen=True, slots=True)
class ScoresFuture:
    """The scores of a launched batch, which the device may still be computing.

    Attributes:
        scores: the score of each row, [rows] fp32 in host memory, in the batch's own order; valid after `done`.
        order: for each row of the batch, its index among the caller's rows, [rows].
        done: the event that the device records when `scores` are complete; None if they were complete at once.
    """

    scores: Tensor
    order: np.ndarray
    done: torch.cuda.Event | None

    @classmethod
    def fetch(cls, scores: Tensor, order: np.ndarray) -> "ScoresFuture":
        """Starts to copy `scores`, [rows] in the batch's order, from their device to host memory.

        order: as in the attributes.
        """
        if not scores.is_cuda:
            return cls(scores, order, None)
        on_host = torch.empty(scores.shape, dtype=scores.dtype, pin_memory=True)
        on_host.copy_(scores, non_blocking=True)
        done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        done.record()
        return cls(on_host, order, done)

    @property
    def is_ready(self) -> bool:
        """Whether `collect` returns without waiting."""
        return self.done is None or bool(self.done.query())  # type: ignore[no-untyped-call]

    def collect(self) -> Tensor:
        """Waits for the device. Returns rescoring scores, [rows] fp32 on the CPU, in the order of the caller's rows."""
        if self.done is not None:
            self.done.synchronize()
        result = torch.empty(len(self.order), dtype=torch.float32)
        result[torch.from_numpy(self.order)] = self.scores
        return result


# Launches a batch as RescoringModel.launch does, or returns None if the batch does not fit any CUDA graph.
GraphLauncher = Callable[[Sequence[EncodedHypothesis], Sequence[AdapterWeights], Sequence[int]], ScoresFuture | None]


class RescoringModel:
    """Scores batches of packed rows. The base's weights must not change.

    Not thread-safe: one thread owns it. Another thread uses `for_another_thread()`.

    Attributes:
        base: the base that computes the scores.
        encoder: the base's encoder for packed rows.
        launch_graph: launches a batch as a CUDA graph; tried first for every batch. None without CUDA graphs.
    """

    def __init__(self, base: Base) -> None:
        self.base = base
        self.encoder = PackedEncoder(base.encoder)
        self.launch_graph: GraphLauncher | None = None

    def for_another_thread(self) -> "RescoringModel":
        """Returns a model that another thread may use at the same time, without CUDA graphs.

        Both share the base, its packed weights and the cached matrices of adapters; each has buffers of its own.
        """
        other = copy.copy(self)
        other.encoder = self.encoder.for_another_thread()
        other.launch_graph = None
        return other

    @property
    def scratch_bytes(self) -> int:
        """Memory of the buffers that the model's batches share, in bytes. Any thread may read it."""
        return self.encoder.scratch_bytes

    def score(
        self,
        rows: Sequence[EncodedHypothesis],
        adapters: Sequence[AdapterWeights],
        row_adapters: Sequence[int],
    ) -> Tensor:
        """Scores rows of any mix of adapters in one batch.

        rows: the tokens of each hypothesis, in any order. adapters: on the base's device.
        row_adapters: for each row, the index of its adapter in `adapters`.

        Returns rescoring scores, [rows] fp32 on the CPU, in the order of `rows`; natural log, higher is better.
        """
        return self.launch(rows, adapters, row_adapters).collect()

    @torch.inference_mode()
    def launch(
        self,
        rows: Sequence[EncodedHypothesis],
        adapters: Sequence[AdapterWeights],
        row_adapters: Sequence[int],
    ) -> ScoresFuture:
        """Starts scoring; takes the arguments of `score`.

        On CUDA it returns before the device has computed the scores. Batches run in launch order.
        """
        future = self.launch_graph(rows, adapters, row_adapters) if self.launch_graph is not None else None
        return future if future is not None else self._launch_eagerly(rows, adapters, row_adapters)

    def pack(self, rows: Sequence[EncodedHypothesis]) -> PackedRows:
        """Lays rows end to end on the base's device."""
        return pack(rows, first_position=self.base.first_position, device=self.base.device)

    def _launch_eagerly(
        self, rows: Sequence[EncodedHypothesis], adapters: Sequence[AdapterWeights], row_adapters: Sequence[int]
    ) -> ScoresFuture:
        lengths = np.fromiter((len(row.token_ids) for row in rows), np.int64, len(rows))
        adapter_numbers = np.asarray(row_adapters, np.int64)
        order = np.lexsort((lengths, adapter_numbers))  # by adapter, then by length
        packed = self.pack([rows[i] for i in order.tolist()])
        hidden = self.encoder.forward(packed, adapter_segments(lengths[order], adapter_numbers[order], adapters))
        heads = [adapter.head for adapter in adapters]
        row_heads = torch.from_numpy(adapter_numbers[order])
        if hidden.is_cuda and len(heads) > 1:
            row_heads = row_heads.pin_memory().to(hidden.device, non_blocking=True)
        return ScoresFuture.fetch(mixed_head_scores(hidden, packed, heads, row_heads), order)
