"""The score head alone: the encoder runs once over every row."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from lorb_adapters.encoder.packing import PackedRows
from lorb_adapters.lora import head
from lorb_adapters.text import EncodedHypothesis
from lorb_adapters.training.encoder.dropout import Dropout
from lorb_adapters.training.methods.method import Method, Tensors


class HeadOnly(Method):
    """Its cache keeps what the head reads, one vector a row."""

    name = "head"
    caches_tokens: ClassVar[bool] = False

    @property
    def lowest_layer(self) -> int:
        """As Method has it: behind the last."""
        return self.encoder.num_layers

    def below(self, rows: Sequence[EncodedHypothesis]) -> Tensor:
        """As Method has it."""
        return self._features(rows, self._pack(rows), None)

    def _fresh_tensors(self, generator: torch.Generator) -> Tensors:
        del generator  # nothing is drawn
        return {}

    def _features(self, rows: Sequence[EncodedHypothesis], packed: PackedRows, dropout: Dropout | None) -> Tensor:
        if self.cache is not None and self.cache.holds(rows):
            return self.cache.vectors(rows).to(self.base.device)
        return head.features(self._below(rows, packed), packed, self.config.head)
