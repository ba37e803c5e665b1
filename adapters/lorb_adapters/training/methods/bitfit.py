"""BitFit: trains the biases only (Ben Zaken et al. 2022, arXiv 2106.10199)."""

import re
from typing import ClassVar

import torch

from lorb_adapters.training.methods.method import Method, Tensors

_LAYER = re.compile(r"^encoder\.layer\.(\d+)\.")


class BitFit(Method):
    """Trains biases in place: those of the configured layers and their LayerNorms, or all if no layer is configured."""

    name = "bitfit"
    trains_encoder: ClassVar[bool] = True

    @property
    def first_trained_layer(self) -> int:
        """The lowest layer with trained biases; 0 without configured layers: all biases are then trained."""
        return 0 if self.config.lora.layers is None else self._layers[0]

    def _initial_tensors(self, generator: torch.Generator) -> Tensors:
        del generator  # starts from the base
        biases = {name: each for name, each in self.base.encoder.named_parameters() if name.endswith("bias")}
        if self.config.lora.layers is None:
            return biases
        layer_of = {name: _LAYER.match(name) for name in biases}
        return {name: biases[name] for name, match in layer_of.items() if match and int(match.group(1)) in self._layers}
