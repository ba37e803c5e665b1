"""All of the encoder: what it makes is a base of its own, not an adapter."""

from typing import ClassVar

import torch

from lorb_adapters.training.methods.method import Method, Tensors


class Full(Method):
    """Every parameter of the encoder, embeddings included, changed in place."""

    name = "full"
    trains_encoder: ClassVar[bool] = True

    @property
    def lowest_layer(self) -> int:
        """As Method has it: the embeddings change too."""
        return 0

    def _fresh_tensors(self, generator: torch.Generator) -> Tensors:
        del generator  # starts from the base
        return dict(self.base.encoder.named_parameters())
