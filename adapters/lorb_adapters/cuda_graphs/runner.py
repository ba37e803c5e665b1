"""Passes so small that launching them takes longer than computing them, in a few fixed shapes."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from lorb_adapters.cuda_graphs.adapter_slots import AdapterSlots
from lorb_adapters.cuda_graphs.bucket import GraphBucket
from lorb_adapters.cuda_graphs.inputs import StaticInputs
from lorb_adapters.cuda_graphs.pinned_buffers import PinnedBuffers
from lorb_adapters.cuda_graphs.static_forward import StaticForward
from lorb_adapters.encoder.packed_encoder import PackedEncoder
from lorb_adapters.encoder.scores_future import ScoresFuture
from lorb_adapters.encoder.workspace import Workspace
from lorb_adapters.lora.weights import AdapterWeights
from lorb_adapters.text import EncodedHypothesis

Runs = list[Callable[[], Tensor]]


class CudaGraphRunner:
    """One static pass of each shape, in memory that they share. Not thread-safe: one thread owns it.

    Base weights must not change, nor adapters once they have been in a pass.

    Attributes:
        shapes: the largest first.
    """

    @torch.inference_mode()
    def __init__(
        self,
        encoder: PackedEncoder,
        shapes: Sequence[GraphBucket],
        *,
        first_position: int,
        hidden_size: int,
        device: torch.device,
        capture: Callable[[Runs], Runs] = lambda runs: runs,
    ) -> None:
        """first_position: position id of a row's first token; hidden_size: of the encoder's last layer.

        capture: makes of each run, the largest first, what is run instead: `captured_pass.captured` on CUDA.
        """
        self.shapes = sorted(shapes, key=lambda shape: -shape.tokens)
        self._slots = AdapterSlots(encoder.joins, hidden_size, device, encoder.dtype)
        self._inputs = [StaticInputs(shape, first_position, device) for shape in self.shapes]
        self._staging = PinnedBuffers(max(inputs.buffer.numel() for inputs in self._inputs), device)
        scratch = Workspace(device)
        self._runs = capture([StaticForward(encoder, inputs, self._slots, scratch).run for inputs in self._inputs])

    @torch.inference_mode()
    def launch(
        self, rows: Sequence[EncodedHypothesis], adapters: Sequence[AdapterWeights], row_adapters: Sequence[int]
    ) -> ScoresFuture | None:
        """Starts a pass, as `RescoringModel.launch` does; None where it fits no shape or has too many adapters."""
        lengths = [row.num_tokens for row in rows]
        number = self._smallest(sum(lengths), len(rows), max(lengths, default=0))
        if number is None:
            return None
        used, which = np.unique(np.asarray(row_adapters, np.int64), return_inverse=True)
        own = [adapters[i] for i in used.tolist()]
        slots = self._slots.bring(own)
        if slots is None:
            return None
        inputs = self._inputs[number]
        inputs.write(self._staging.take(), rows, own, which, slots)
        self._staging.send(inputs.buffer)
        return ScoresFuture.fetch(self._runs[number]()[: len(rows)], np.arange(len(rows)))

    def _smallest(self, tokens: int, rows: int, longest: int) -> int | None:
        fitting = [i for i, shape in enumerate(self.shapes) if shape.holds(tokens, rows, longest)]
        return fitting[-1] if fitting and rows else None
