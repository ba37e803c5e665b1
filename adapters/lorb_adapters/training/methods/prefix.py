"""Prefix tuning (Li and Liang 2021, arXiv 2101.00190): keys and values that every row attends to in every layer.

peft hands prefixes over as past keys and values of a padded batch; rows without padding have no place for them, so they
join the keys and values here. The keys and values themselves are trained, without the network that the paper makes them
with.
"""

import torch
from torch import Tensor

from lorb_adapters.training.encoder.attention import Prefix
from lorb_adapters.training.encoder.dropout import Dropout
from lorb_adapters.training.encoder.forward import LayerHooks
from lorb_adapters.training.methods.method import Method, Tensors

_INITIAL_DEVIATION = 0.02


class PrefixTuning(Method):
    """`rank` keys and values a layer. A fresh prefix is no identity: attention leaks to values of zero."""

    name = "prefix"

    def _fresh_tensors(self, generator: torch.Generator) -> Tensors:
        shape = (self.config.lora.rank, self.base.hidden_size)
        tensors: dict[str, Tensor] = {}
        for layer in self._layers:
            keys = torch.empty(shape).normal_(0.0, _INITIAL_DEVIATION, generator=generator)
            tensors |= {f"layer.{layer}.keys": keys, f"layer.{layer}.values": torch.zeros(shape)}
        return {name: tensor.to(self.base.device) for name, tensor in tensors.items()}

    def _additions(self, dropout: Dropout | None) -> LayerHooks:
        del dropout  # on the head's features alone
        return _Prefixes(self.tensors)


class _Prefixes(LayerHooks):
    def __init__(self, tensors: Tensors) -> None:
        self._tensors = tensors

    def prefix(self, layer: int) -> Prefix | None:
        """As Additions has it."""
        if f"layer.{layer}.keys" not in self._tensors:
            return None
        return self._tensors[f"layer.{layer}.keys"], self._tensors[f"layer.{layer}.values"]
