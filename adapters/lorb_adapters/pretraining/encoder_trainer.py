"""What a stage trains: all of an encoder, or all above its embeddings, and a head."""

import torch

from lorb_adapters.base.loader import Base
from lorb_adapters.pretraining.config import BuildConfig
from lorb_adapters.training.methods.full import Full
from lorb_adapters.training.methods.method import Tensors

_EMBEDDINGS = ("embeddings.", "embeddings_project.")  # the second is ELECTRA's


class EncoderTrainer(Full):
    """The encoder and a score head. The encoder's parameters are the base's own: the next stage finds them changed."""

    name = "learner"

    def __init__(self, base: Base, config: BuildConfig) -> None:
        """Takes `base` over. Raises InvalidInput where it is none that can be trained."""
        self._frozen = _EMBEDDINGS if config.freezes_embeddings else ()
        super().__init__(base, config.training)

    def _fresh_tensors(self, generator: torch.Generator) -> Tensors:
        tensors = super()._fresh_tensors(generator)
        return {name: tensor for name, tensor in tensors.items() if not name.startswith(self._frozen)}
