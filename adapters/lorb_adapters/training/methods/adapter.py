"""Bottleneck adapters: two small networks in every layer (Houlsby et al. 2019, arXiv 1902.00751).

peft has no bottleneck adapter for BERT, only for causal models.
"""

import torch
from torch import Tensor
from torch.nn import functional

from lorb_adapters.encoder.projections import Projection
from lorb_adapters.training.encoder.dropout import Dropout
from lorb_adapters.training.encoder.forward import LayerHooks
from lorb_adapters.training.methods.method import Method, Tensors

_INITIAL_DEVIATION = 0.01  # for the down projection, as in the paper; the up projection starts at zero


class BottleneckAdapter(Method):
    """Trains two small networks in each configured layer: one after attention, one after the feed-forward network.

    Before the residual sum, each replaces the output h by h + up(gelu(down(h))).
    """

    name = "adapter"

    def _initial_tensors(self, generator: torch.Generator) -> Tensors:
        hidden, width = self.base.hidden_size, self.config.lora.rank
        tensors: dict[str, Tensor] = {}
        for layer in self._layers:
            for projection in (Projection.ATTENTION_OUT, Projection.DOWN):
                name = _name(layer, projection)
                down = torch.empty(width, hidden).normal_(0.0, _INITIAL_DEVIATION, generator=generator)
                tensors |= {
                    f"{name}.down.weight": down,
                    f"{name}.down.bias": torch.zeros(width),
                    f"{name}.up.weight": torch.zeros(hidden, width),
                    f"{name}.up.bias": torch.zeros(hidden),
                }
        return {name: tensor.to(self.base.device) for name, tensor in tensors.items()}

    def _hooks(self, dropout: Dropout | None) -> LayerHooks:
        return _BottleneckHooks(self.tensors, dropout)


class _BottleneckHooks(LayerHooks):
    def __init__(self, tensors: Tensors, dropout: Dropout | None) -> None:
        self._tensors, self._dropout = tensors, dropout

    def sublayer_output(self, layer: int, projection: Projection, out: Tensor) -> Tensor:
        """Returns `out` with the bottleneck network's output added, if the layer is trained, [tokens, hidden]."""
        name = _name(layer, projection)
        if f"{name}.down.weight" not in self._tensors:
            return out
        down, down_bias, up, up_bias = (
            self._tensors[f"{name}.{part}"].to(out.dtype)
            for part in ("down.weight", "down.bias", "up.weight", "up.bias")
        )
        x = out if self._dropout is None else self._dropout(out)
        return out + functional.linear(functional.gelu(functional.linear(x, down, down_bias)), up, up_bias)


def _name(layer: int, projection: Projection) -> str:
    return f"layer.{layer}.{'attention' if projection == Projection.ATTENTION_OUT else 'feed_forward'}"
