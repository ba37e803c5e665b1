"""Trains the score head only; with a layer cache, the encoder reads every row once."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from lorb_adapters.encoder.head_scores import pool
from lorb_adapters.encoder.packing import PackedRows
from lorb_adapters.text import EncodedHypothesis
from lorb_adapters.training.encoder.dropout import Dropout
from lorb_adapters.training.methods.method import Method, Tensors


class HeadOnly(Method):
    """Trains the head on the frozen base. The layer cache holds the head's input, one vector per row."""

    name = "head"
    caches_per_token: ClassVar[bool] = False

    @property
    def first_trained_layer(self) -> int:
        """The number of layers: all layers are frozen."""
        return self.encoder.num_layers

    def _cached_vectors(self, rows: Sequence[EncodedHypothesis]) -> Tensor:
        """Computes the vectors that the layer cache holds: the head's input, [rows, hidden]."""
        return self._features(rows, self._pack(rows), None)

    def _initial_tensors(self, generator: torch.Generator) -> Tensors:
        del generator  # there are no tensors but the head's
        return {}

    def _features(self, rows: Sequence[EncodedHypothesis], packed: PackedRows, dropout: Dropout | None) -> Tensor:
        if self.layer_cache is not None and self.layer_cache.contains(rows):
            return self.layer_cache.vectors(rows).to(self.base.device)
        return pool(self._frozen_hidden_states(rows, packed), packed, self.config.head)
