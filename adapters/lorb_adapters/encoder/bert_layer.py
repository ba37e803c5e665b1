"""The weights of a post-LayerNorm BERT layer, read from transformers' module."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn import functional

from lorb_adapters.encoder import onednn
from lorb_adapters.encoder.projections import PROJECTION_MODULES, Linear, Projection

# The submodules of a supported layer. A layer with more or fewer submodules computes something else.
_SUBMODULES = {
    "": {"attention", "intermediate", "output"},
    "attention": {"self", "output"},
    "attention.self": {"query", "key", "value", "dropout"},
    "attention.output": {"dense", "LayerNorm", "dropout"},
    "intermediate": {"dense", "intermediate_act_fn"},
    "output": {"dense", "LayerNorm", "dropout"},
}
_ATTENTION_NORM, _OUTPUT_NORM = "attention.output.LayerNorm", "output.LayerNorm"


@dataclass(frozen=True, slots=True)
class Norm:
    """A LayerNorm: weight and bias [hidden]."""

    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        """Returns `x` normalised, [tokens, hidden]; x: [tokens, hidden]."""
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


@dataclass(frozen=True, slots=True)
class BertLayer:
    """The weights of one layer.

    Where oneDNN is used, the four matrices are copies in its layout. Elsewhere only the fused matrix of query, key and
    value is a copy, which takes a quarter of the layer's size; the other matrices are the module's own.

    Attributes:
        qkv, attention_out, up, down: the four projections.
        attention_norm: the LayerNorm after the attention and its residual.
        activation: the feed-forward activation. It may overwrite its argument, so callers use only its result.
        output_norm: the LayerNorm after the feed-forward part and its residual.
        num_heads: the number of attention heads.
    """

    qkv: Linear
    attention_out: Linear
    attention_norm: Norm
    up: Linear
    activation: Callable[[Tensor], Tensor]
    down: Linear
    output_norm: Norm
    num_heads: int

    @classmethod
    def read(cls, layer: nn.Module, dtype: torch.dtype, *, for_onednn: bool = False) -> "BertLayer":
        """Reads a module for which `is_bert_layer` is true. Biases and norms are converted to `dtype`.

        for_onednn: whether to convert the matrices too, and to copy them to oneDNN's layout.
        """

        def fused(projection: Projection) -> Linear:
            modules = [_linear(layer, path) for path in PROJECTION_MODULES[projection]]
            weight = torch.cat([each.weight for each in modules]) if len(modules) > 1 else modules[0].weight
            bias = torch.cat([each.bias for each in modules]).to(dtype)
            return Linear(onednn.reorder_weight(weight.to(dtype)) if for_onednn else weight, bias)

        return cls(
            qkv=fused(Projection.QKV),
            attention_out=fused(Projection.ATTENTION_OUT),
            attention_norm=_norm(layer.get_submodule(_ATTENTION_NORM), dtype),
            up=fused(Projection.UP),
            activation=_in_place(layer.get_submodule("intermediate.intermediate_act_fn")),
            down=fused(Projection.DOWN),
            output_norm=_norm(layer.get_submodule(_OUTPUT_NORM), dtype),
            num_heads=int(layer.get_submodule("attention.self").num_attention_heads),  # type: ignore[arg-type]
        )

    @property
    def linears(self) -> tuple[Linear, Linear, Linear, Linear]:
        """The weights of the four projections, in the order of `Projection`."""
        return self.qkv, self.attention_out, self.up, self.down


def is_bert_layer(layer: nn.Module) -> bool:
    """Returns whether a layer is self-attention and a feed-forward part, each with a residual sum, then a LayerNorm.

    Every linear module must have a bias, and the attention must not be causal.
    """
    for path, names in _SUBMODULES.items():
        try:
            children = {name for name, _ in layer.get_submodule(path).named_children()}
        except AttributeError:
            return False
        if children != names:
            return False
    linears = [_linear(layer, path) for path in chain.from_iterable(PROJECTION_MODULES.values())]
    norms = [layer.get_submodule(path) for path in (_ATTENTION_NORM, _OUTPUT_NORM)]
    return (
        all(isinstance(linear, nn.Linear) and linear.bias is not None for linear in linears)
        and all(isinstance(norm, nn.LayerNorm) and norm.elementwise_affine for norm in norms)
        and _is_plain_attention(layer.get_submodule("attention.self"), linears[0])
    )


def _is_plain_attention(attention: nn.Module, query: nn.Linear) -> bool:
    heads = getattr(attention, "num_attention_heads", None)
    if not isinstance(heads, int) or query.out_features % heads:
        return False
    scaling = getattr(attention, "scaling", None)
    return not getattr(attention, "is_decoder", False) and scaling == (query.out_features // heads) ** -0.5


def _linear(layer: nn.Module, path: str) -> nn.Linear:
    return layer.get_submodule(path)  # type: ignore[return-value]


def _norm(module: nn.Module, dtype: torch.dtype) -> Norm:
    return Norm(module.weight.to(dtype), module.bias.to(dtype), module.eps)  # type: ignore[arg-type]


def _in_place(activation: nn.Module) -> Callable[[Tensor], Tensor]:
    """Returns the activation's in-place form, which needs no second tensor; the activation itself if torch has none."""
    if getattr(activation, "act", None) is functional.gelu:  # transformers' GELUActivation
        return torch.ops.aten.gelu_
    if isinstance(activation, nn.ReLU):
        return torch.relu_
    if isinstance(activation, nn.SiLU):
        return lambda x: functional.silu(x, inplace=True)
    return activation
