"""The rescoring model: one frozen encoder, any mix of adapters, one score a row. Trainer and server share it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lorb_adapters import head
from lorb_adapters.base import Base
from lorb_adapters.lora import AdapterWeights
from lorb_adapters.packing import PackedRows, pack
from lorb_adapters.sites import inject
from lorb_adapters.text import EncodedRow

Segments = tuple[tuple[int, int, AdapterWeights], ...]


class RescoringModel:
    """Scores packed rows. Not thread-safe: one thread owns it. Takes over `base.encoder`'s linear layers."""

    def __init__(self, base: Base) -> None:
        self.base = base
        self._running = inject(base.encoder)

    def score(
        self,
        rows: Sequence[EncodedRow],
        adapters: Sequence[AdapterWeights],
        row_adapters: Sequence[int],
    ) -> Tensor:
        """Scores rows of any mix of adapters in one pass.

        rows: in any order; row_adapters: for each row an index into `adapters`, which lie on the base's device.
        Returns rescoring scores, [rows] fp32 on the CPU, in the order of `rows`.
        """
        order = sorted(range(len(rows)), key=lambda i: (row_adapters[i], rows[i].num_tokens))
        sorted_rows = [rows[i] for i in order]
        sorted_adapters = [row_adapters[i] for i in order]
        with torch.inference_mode():
            packed = self.pack(sorted_rows)
            hidden = self.hidden(packed, _segments(sorted_rows, sorted_adapters, adapters))
            row_heads = torch.tensor(sorted_adapters, device=hidden.device)
            heads = [adapter.head for adapter in adapters]
            sorted_scores = head.mixed_scores(hidden, packed, heads, row_heads).cpu()
            scores = torch.empty_like(sorted_scores)
            scores[torch.tensor(order)] = sorted_scores
        return scores

    def forward(self, rows: Sequence[EncodedRow], adapter: AdapterWeights) -> tuple[Tensor, Tensor]:
        """Scores rows of one adapter with gradients to its weights, for training.

        Returns the features that the head read, [rows, hidden], and the rescoring scores, [rows]; both fp32 on the
        base's device, in the order of `rows`, which is best sorted by length.
        """
        packed = self.pack(rows)
        hidden = self.hidden(packed, ((0, packed.num_tokens, adapter),))
        row_features = head.features(hidden, packed, adapter.head.kind)
        return row_features, head.scores(row_features, packed, adapter.head)

    def pack(self, rows: Sequence[EncodedRow]) -> PackedRows:
        """Lays rows end to end on the base's device."""
        return pack(rows, first_position=self.base.first_position, device=self.base.device)

    def hidden(self, packed: PackedRows, segments: Segments) -> Tensor:
        """The encoder's last hidden states, [tokens, hidden], with each segment's adapter applied."""
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


def _segments(rows: Sequence[EncodedRow], row_adapters: Sequence[int], adapters: Sequence[AdapterWeights]) -> Segments:
    """Contiguous token ranges of equal adapters; rows are sorted by adapter."""
    segments: list[tuple[int, int, AdapterWeights]] = []
    stop = 0
    for row, which in zip(rows, row_adapters, strict=True):
        start, stop = stop, stop + row.num_tokens
        if segments and segments[-1][2] is adapters[which]:
            start = segments.pop()[0]
        segments.append((start, stop, adapters[which]))
    return tuple(segments)
