"""Bottleneck adapters (Houlsby et al. 2019, arXiv 1902.00751): two small networks in every layer.

peft has none for BERT (its own are for causal models alone), so this one is ours.
"""

import torch
from torch import Tensor
from torch.nn import functional

from lorb_adapters.encoder.lora_matrices import Projection
from lorb_adapters.training.encoder.dropout import Dropout
from lorb_adapters.training.encoder.forward import LayerHooks
from lorb_adapters.training.methods.method import Method, Tensors

_INITIAL_DEVIATION = 0.01  # of the matrix down, as in the paper; the matrix up begins at zero


class BottleneckAdapter(Method):
    """After the attention and after the feed-forward network h + up(gelu(down(h))), before the residual is added."""

    name = "adapter"

    def _fresh_tensors(self, generator: torch.Generator) -> Tensors:
        hidden, width = self.base.hidden_size, self.config.lora.rank
        tensors: dict[str, Tensor] = {}
        for layer in self._layers:
            for join in (Projection.ATTENTION_OUT, Projection.DOWN):
                place = _place(layer, join)
                down = torch.empty(width, hidden).normal_(0.0, _INITIAL_DEVIATION, generator=generator)
                tensors |= {
                    f"{place}.down.weight": down,
                    f"{place}.down.bias": torch.zeros(width),
                    f"{place}.up.weight": torch.zeros(hidden, width),
                    f"{place}.up.bias": torch.zeros(hidden),
                }
        return {name: tensor.to(self.base.device) for name, tensor in tensors.items()}

    def _additions(self, dropout: Dropout | None) -> LayerHooks:
        return _Bottlenecks(self.tensors, dropout)


class _Bottlenecks(LayerHooks):
    def __init__(self, tensors: Tensors, dropout: Dropout | None) -> None:
        self._tensors, self._dropout = tensors, dropout

    def sublayer(self, layer: int, join: Projection, out: Tensor) -> Tensor:
        """As Additions has it."""
        place = _place(layer, join)
        if f"{place}.down.weight" not in self._tensors:
            return out
        down, down_bias, up, up_bias = (
            self._tensors[f"{place}.{name}"].to(out.dtype)
            for name in ("down.weight", "down.bias", "up.weight", "up.bias")
        )
        read = out if self._dropout is None else self._dropout(out)
        return out + functional.linear(functional.gelu(functional.linear(read, down, down_bias)), up, up_bias)


def _place(layer: int, join: Projection) -> str:
    return f"layer.{layer}.{'attention' if join == Projection.ATTENTION_OUT else 'feed_forward'}"
