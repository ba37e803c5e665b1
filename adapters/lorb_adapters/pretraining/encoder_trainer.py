"""Trains an encoder, with or without its embeddings, and its head."""

import torch

from lorb_adapters.base.loader import Base
from lorb_adapters.pretraining.config import BuildConfig
from lorb_adapters.training.methods.full import Full
from lorb_adapters.training.methods.method import Tensors

_EMBEDDINGS = ("embeddings.", "embeddings_project.")  # only ELECTRA has the second module


class EncoderTrainer(Full):
    """Trains a score head and a base's encoder. The encoder changes in place, and the next stage starts from it."""

    def __init__(self, base: Base, config: BuildConfig) -> None:
        """Trains `base` in place. Raises InvalidInput if its encoder cannot be trained."""
        self._frozen_prefixes = _EMBEDDINGS if config.freezes_embeddings else ()
        super().__init__(base, config.training)

    def _initial_tensors(self, generator: torch.Generator) -> Tensors:
        tensors = super()._initial_tensors(generator)
        return {name: tensor for name, tensor in tensors.items() if not name.startswith(self._frozen_prefixes)}
