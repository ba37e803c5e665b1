"""The rescoring model: one frozen encoder, any mix of adapters, one score a row. Trainer and server share it."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from lorb_adapters.base.loader import Base
from lorb_adapters.cuda_graphs.bucket import GraphBucket
from lorb_adapters.cuda_graphs.runner import CudaGraphRunner, Runs
from lorb_adapters.encoder.packed_encoder import PackedEncoder
from lorb_adapters.encoder.packing import PackedRows, pack
from lorb_adapters.encoder.scores_future import ScoresFuture
from lorb_adapters.lora import head
from lorb_adapters.lora.sites import inject
from lorb_adapters.lora.weights import AdapterWeights
from lorb_adapters.text import EncodedHypothesis

Segments = tuple[tuple[int, int, AdapterWeights], ...]
# Starts a pass, as RescoringModel.launch does, or returns None and leaves it to the model.
Launch = Callable[[Sequence[EncodedHypothesis], Sequence[AdapterWeights], Sequence[int]], ScoresFuture | None]


class RescoringModel:
    """Scores packed rows. Not thread-safe: one thread owns it. Takes over `base.encoder`'s linear layers.

    Attributes:
        base: what it scores with.
        launch_small: is asked first to start a pass; None where there is nothing to ask.
    """

    def __init__(self, base: Base) -> None:
        self.base = base
        self.launch_small: Launch | None = None
        self._running = inject(base.encoder)
        self._packed_encoder = PackedEncoder(base.encoder) if PackedEncoder.supports(base.encoder) else None

    def score(
        self,
        rows: Sequence[EncodedHypothesis],
        adapters: Sequence[AdapterWeights],
        row_adapters: Sequence[int],
    ) -> Tensor:
        """Scores rows of any mix of adapters in one pass.

        rows: in any order; row_adapters: for each row an index into `adapters`, which lie on the base's device.
        Returns rescoring scores, [rows] fp32 on the CPU, in the order of `rows`.
        """
        return self.launch(rows, adapters, row_adapters).collect()

    @torch.inference_mode()
    def launch(
        self,
        rows: Sequence[EncodedHypothesis],
        adapters: Sequence[AdapterWeights],
        row_adapters: Sequence[int],
    ) -> ScoresFuture:
        """Starts what `score` does. On CUDA it returns before the device is done; passes run in the order launched."""
        pending = self.launch_small(rows, adapters, row_adapters) if self.launch_small is not None else None
        return pending if pending is not None else self._launch_any(rows, adapters, row_adapters)

    def _launch_any(
        self, rows: Sequence[EncodedHypothesis], adapters: Sequence[AdapterWeights], row_adapters: Sequence[int]
    ) -> ScoresFuture:
        lengths = np.fromiter((len(row.token_ids) for row in rows), np.int64, len(rows))
        which = np.asarray(row_adapters, np.int64)
        order = np.lexsort((lengths, which))
        packed = self.pack([rows[i] for i in order.tolist()])
        hidden = self._hidden(packed, _segments(lengths[order], which[order], adapters))
        heads = [adapter.head for adapter in adapters]
        row_heads = torch.from_numpy(which[order])
        if hidden.is_cuda and len(heads) > 1:
            row_heads = row_heads.pin_memory().to(hidden.device, non_blocking=True)
        return ScoresFuture.fetch(head.mixed_scores(hidden, packed, heads, row_heads), order)

    def small_passes(
        self, shapes: Sequence[GraphBucket], capture: Callable[[Runs], Runs] = lambda runs: runs
    ) -> CudaGraphRunner:
        """Passes of fixed shapes over this model's weights; raises ValueError where its encoder has no packed forward.

        They are not in use before `launch_small` is their `launch`.
        """
        if self._packed_encoder is None:
            raise ValueError(f"{type(self.base.encoder).__name__} runs by transformers' own forward")
        return CudaGraphRunner(
            self._packed_encoder,
            shapes,
            first_position=self.base.first_position,
            hidden_size=self.base.hidden_size,
            device=self.base.device,
            capture=capture,
        )

    def forward(self, rows: Sequence[EncodedHypothesis], adapter: AdapterWeights) -> tuple[Tensor, Tensor]:
        """Scores rows of one adapter with gradients to its weights, for training.

        Returns the features that the head read, [rows, hidden], and the rescoring scores, [rows]; both fp32 on the
        base's device, in the order of `rows`, which is best sorted by length.
        """
        packed = self.pack(rows)
        hidden = self.hidden(packed, ((0, packed.num_tokens, adapter),))
        row_features = head.features(hidden, packed, adapter.head.kind)
        return row_features, head.scores(row_features, packed, adapter.head)

    def pack(self, rows: Sequence[EncodedHypothesis]) -> PackedRows:
        """Lays rows end to end on the base's device."""
        return pack(rows, first_position=self.base.first_position, device=self.base.device)

    def _hidden(self, packed: PackedRows, segments: Segments) -> Tensor:
        if self._packed_encoder is not None:
            return self._packed_encoder.forward(packed, segments)
        return self.hidden(packed, segments)

    def hidden(self, packed: PackedRows, segments: Segments) -> Tensor:
        """The encoder's last hidden states, [tokens, hidden], with each segment's adapter applied.

        By transformers' own forward: with gradients, and for encoders that PackedEncoder does not support.
        """
        self._running.segments = segments
        try:
            output = self.base.encoder(
                input_ids=packed.token_ids,
                token_type_ids=packed.type_ids,
                position_ids=packed.position_ids,
                packed_rows=packed,
            )
        finally:
            self._running.segments = ()
        hidden: Tensor = output.last_hidden_state[0]
        return hidden


def _segments(lengths: np.ndarray, row_adapters: np.ndarray, adapters: Sequence[AdapterWeights]) -> Segments:
    """Contiguous token ranges of equal adapters. lengths, row_adapters: [rows], sorted by adapter."""
    stops = np.append(np.flatnonzero(np.diff(row_adapters)), len(row_adapters) - 1)
    ends = np.cumsum(lengths)[stops].tolist()
    which = row_adapters[stops].tolist()
    return tuple((start, end, adapters[i]) for start, end, i in zip([0, *ends[:-1]], ends, which, strict=True))
