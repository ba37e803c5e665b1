"""Scores small batches by replaying CUDA graphs: one launch replaces the launches of all operations."""

from collections.abc import Sequence

import numpy as np
import torch

from lorb_adapters.cuda_graphs.graph import Capture, GraphBucket
from lorb_adapters.cuda_graphs.inputs import PinnedBuffers, StaticInputs
from lorb_adapters.cuda_graphs.slots import AdapterSlots
from lorb_adapters.cuda_graphs.static_forward import StaticForward
from lorb_adapters.encoder.memory import Workspace
from lorb_adapters.lora.weights import AdapterWeights
from lorb_adapters.model import RescoringModel, ScoresFuture
from lorb_adapters.text import EncodedHypothesis


class CudaGraphRunner:
    """One graph for each bucket; the graphs share their memory. Not thread-safe: one thread owns it.

    The base's weights must not change, nor an adapter's after its first batch.

    Attributes:
        buckets: the sizes of the batches that the graphs serve, the largest first.
    """

    @torch.inference_mode()
    def __init__(
        self,
        model: RescoringModel,
        buckets: Sequence[GraphBucket],
        capture: Capture = lambda forwards: forwards,
    ) -> None:
        """Prepares graphs over the model's weights. The model uses them once its `launch_graph` is set to `launch`.

        capture: `capture_graphs` on CUDA. By default the forwards run eagerly, for tests on a CPU.
        """
        self.buckets = sorted(buckets, key=lambda bucket: -bucket.tokens)
        encoder, base = model.encoder, model.base
        self._slots = AdapterSlots(encoder.projection_shapes, base.hidden_size, base.device, encoder.dtype)
        self._inputs = [StaticInputs(bucket, base.first_position, base.device) for bucket in self.buckets]
        self._pinned = PinnedBuffers(max(inputs.buffer.numel() for inputs in self._inputs), base.device)
        workspace = Workspace(base.device)
        self._forwards = capture([StaticForward(encoder, each, self._slots, workspace).run for each in self._inputs])

    @torch.inference_mode()
    def launch(
        self, rows: Sequence[EncodedHypothesis], adapters: Sequence[AdapterWeights], row_adapters: Sequence[int]
    ) -> ScoresFuture | None:
        """Starts scoring a batch. Returns None if the batch fits no bucket or its adapters need too many slots.

        rows: in any order. adapters: on the base's device.
        row_adapters: for each row, the index of its adapter in `adapters`.
        """
        lengths = [row.num_tokens for row in rows]
        bucket_index = self._smallest_bucket(sum(lengths), len(rows), max(lengths, default=0))
        if bucket_index is None:
            return None
        used, row_used_adapters = np.unique(np.asarray(row_adapters, np.int64), return_inverse=True)
        used_adapters = [adapters[i] for i in used.tolist()]
        slots = self._slots.load(used_adapters)
        if slots is None:
            return None
        inputs = self._inputs[bucket_index]
        inputs.write(self._pinned.acquire(), rows, used_adapters, row_used_adapters, slots)
        self._pinned.send(inputs.buffer)
        return ScoresFuture.fetch(self._forwards[bucket_index]()[: len(rows)], np.arange(len(rows)))

    def _smallest_bucket(self, tokens: int, rows: int, longest: int) -> int | None:
        """Returns the index of the smallest bucket that fits; None if no bucket fits or there are no rows."""
        fitting = [i for i, bucket in enumerate(self.buckets) if bucket.fits(tokens, rows, longest)]
        return fitting[-1] if fitting and rows else None
