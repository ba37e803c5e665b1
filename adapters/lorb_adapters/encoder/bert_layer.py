"""The weights of a post-LayerNorm BERT layer, read off transformers' module."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lorb_adapters.encoder import onednn
from lorb_adapters.lora.sites import LoraSite

# Every module of a layer, and nothing else: a layer with one more computes something else.
_MODULES = {
    "": {"attention", "intermediate", "output"},
    "attention": {"self", "output"},
    "attention.self": {"query", "key", "value", "dropout"},
    "attention.output": {"dense", "LayerNorm", "dropout"},
    "intermediate": {"dense", "intermediate_act_fn"},
    "output": {"dense", "LayerNorm", "dropout"},
}
_LINEARS = (
    *(f"attention.self.{name}" for name in ("query", "key", "value")),
    *("attention.output.dense", "intermediate.dense", "output.dense"),
)


@dataclass(frozen=True, slots=True)
class Norm:
    """A LayerNorm: weight and bias [hidden]."""

    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        """x: [tokens, hidden]."""
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


@dataclass(frozen=True, slots=True)
class Linear:
    """weight: [out, in]; bias: [out]; packed: the weight once more as oneDNN lays it out, where that multiplies."""

    weight: Tensor
    bias: Tensor
    packed: Tensor | None = None


@dataclass(frozen=True, slots=True)
class BertLayer:
    """One layer. The fused query, key and value are a copy, a quarter of the layer; the other weights are shared.

    Packed weights are copies of all.

    activation: may work in place; its result is what counts.
    """

    qkv: Linear
    attention_out: Linear
    attention_norm: Norm
    up: Linear
    activation: Callable[[Tensor], Tensor]
    down: Linear
    norm: Norm
    num_heads: int

    @classmethod
    def read(cls, layer: nn.Module, dtype: torch.dtype, *, packs: bool = False) -> "BertLayer":
        """Reads a layer that `is_bert_layer`; biases and norms in `dtype`, weights in their own.

        packs: for oneDNN, which computes in `dtype`.
        """

        def joined(*linears: nn.Linear) -> Linear:
            weight = torch.cat([linear.weight for linear in linears]) if len(linears) > 1 else linears[0].weight
            bias = torch.cat([linear.bias for linear in linears]).to(dtype)
            return Linear(weight, bias, onednn.packed_weight(weight.to(dtype)) if packs else None)

        query, key, value, attention_out, up, down = (_linear(layer.get_submodule(path)) for path in _LINEARS)
        return cls(
            qkv=joined(query, key, value),
            attention_out=joined(attention_out),
            attention_norm=_norm(layer.get_submodule("attention.output.LayerNorm"), dtype),
            up=joined(up),
            activation=_in_place(layer.get_submodule("intermediate.intermediate_act_fn")),
            down=joined(down),
            norm=_norm(layer.get_submodule("output.LayerNorm"), dtype),
            num_heads=int(layer.get_submodule("attention.self").num_attention_heads),  # type: ignore[arg-type]
        )

    @property
    def linears(self) -> tuple[Linear, Linear, Linear, Linear]:
        """The four products in their order, query, key and value being one: `lora_stack.Projection`."""
        return self.qkv, self.attention_out, self.up, self.down


def is_bert_layer(layer: nn.Module) -> bool:
    """Whether a layer is self-attention and a feed-forward part, each with a LayerNorm behind the sum, and no more."""
    for path, names in _MODULES.items():
        try:
            children = {name for name, _ in layer.get_submodule(path).named_children()}
        except AttributeError:
            return False
        if children != names:
            return False
    linears = [_linear(layer.get_submodule(path)) for path in _LINEARS]
    norms = [layer.get_submodule(f"{path}output.LayerNorm") for path in ("attention.", "")]
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
    return (
        getattr(attention, "position_embedding_type", "absolute") in ("absolute", None)
        and not getattr(attention, "is_decoder", False)
        and scaling == (query.out_features // heads) ** -0.5
    )


def _linear(module: nn.Module) -> nn.Linear:
    return module.base if isinstance(module, LoraSite) else module  # type: ignore[return-value]


def _norm(module: nn.Module, dtype: torch.dtype) -> Norm:
    return Norm(module.weight.to(dtype), module.bias.to(dtype), module.eps)  # type: ignore[arg-type]


def _in_place(activation: nn.Module) -> Callable[[Tensor], Tensor]:
    """The activation without a second tensor of its input's size, where torch has it so."""
    if getattr(activation, "act", None) is functional.gelu:  # transformers' GELUActivation
        return torch.ops.aten.gelu_
    if isinstance(activation, nn.ReLU):
        return torch.relu_
    if isinstance(activation, nn.SiLU):
        return lambda x: functional.silu(x, inplace=True)
    return activation
