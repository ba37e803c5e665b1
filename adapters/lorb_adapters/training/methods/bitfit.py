"""The biases alone (BitFit, Ben Zaken et al. 2022, arXiv 2106.10199)."""

import re
from typing import ClassVar

import torch

from lorb_adapters.training.methods.method import Method, Tensors

_LAYER = re.compile(r"^encoder\.layer\.(\d+)\.")


class BitFit(Method):
    """Every bias of the encoder, those of its LayerNorms included, changed in place; or those of some layers."""

    name = "bitfit"
    trains_encoder: ClassVar[bool] = True

    @property
    def lowest_layer(self) -> int:
        """As Method has it: without a choice of layers the embeddings' bias changes too."""
        return 0 if self.config.lora.layers is None else self._layers[0]

    def _fresh_tensors(self, generator: torch.Generator) -> Tensors:
        del generator  # starts from the base
        biases = {name: each for name, each in self.base.encoder.named_parameters() if name.endswith("bias")}
        if self.config.lora.layers is None:
            return biases
        layer_of = {name: _LAYER.match(name) for name in biases}
        return {name: biases[name] for name, at in layer_of.items() if at and int(at.group(1)) in self._layers}
