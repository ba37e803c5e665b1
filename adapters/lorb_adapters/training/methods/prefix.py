"""Prefix tuning: keys and values that every row attends to in every layer (Li and Liang 2021, arXiv 2101.00190).

The keys and values themselves are trained, without the paper's reparametrisation network. peft's prefixes need the past
keys and values of a padded batch; packed rows have none, so the training attention takes the prefix as an argument.
"""

import torch
from torch import Tensor

from lorb_adapters.training.encoder.attention import Prefix
from lorb_adapters.training.encoder.dropout import Dropout
from lorb_adapters.training.encoder.forward import LayerHooks
from lorb_adapters.training.methods.method import Method, Tensors

_INITIAL_DEVIATION = 0.02


class PrefixTuning(Method):
    """Trains `rank` keys and values per layer.

    Even the initial prefix changes scores: its values are zeros, but they take attention from the row's own tokens.
    """

    name = "prefix"

    def _initial_tensors(self, generator: torch.Generator) -> Tensors:
        shape = (self.config.lora.rank, self.base.hidden_size)
        tensors: dict[str, Tensor] = {}
        for layer in self._layers:
            keys = torch.empty(shape).normal_(0.0, _INITIAL_DEVIATION, generator=generator)
            tensors |= {f"layer.{layer}.keys": keys, f"layer.{layer}.values": torch.zeros(shape)}
        return {name: tensor.to(self.base.device) for name, tensor in tensors.items()}

    def _hooks(self, dropout: Dropout | None) -> LayerHooks:
        del dropout  # only the head's features get dropout
        return _PrefixHooks(self.tensors)


class _PrefixHooks(LayerHooks):
    def __init__(self, tensors: Tensors) -> None:
        self._tensors = tensors

    def prefix(self, layer: int) -> Prefix | None:
        """Returns the layer's keys and values, or None if the layer is not trained."""
        if f"layer.{layer}.keys" not in self._tensors:
            return None
        return self._tensors[f"layer.{layer}.keys"], self._tensors[f"layer.{layer}.values"]
