"""Full fine-tuning: trains the whole encoder; the result is a base, not an adapter."""

from typing import ClassVar

import torch

from lorb_adapters.training.methods.method import Method, Tensors


class Full(Method):
    """Trains every parameter of the encoder in place, embeddings included."""

    name = "full"
    trains_encoder: ClassVar[bool] = True

    @property
    def first_trained_layer(self) -> int:
        """Always 0: the embeddings change, so no layer's input is constant."""
        return 0

    def _initial_tensors(self, generator: torch.Generator) -> Tensors:
        del generator  # starts from the base
        return dict(self.base.encoder.named_parameters())
