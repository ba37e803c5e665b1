"""The encoder's forward pass with gradients: packed rows through any range of layers, with a method's hooks."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from lorb.errors import InvalidInput
from lorb_adapters.encoder import onednn
from lorb_adapters.encoder.bert_layer import BertLayer
from lorb_adapters.encoder.packing import PackedRows
from lorb_adapters.encoder.projections import Linear, Projection
from lorb_adapters.training.config import AUTO, BF16, FP32
from lorb_adapters.training.encoder.attention import Prefix, TrainingAttention
from lorb_adapters.training.encoder.linear import linear as linear_layer


class LayerHooks:
    """What a training method changes in each layer. This class changes nothing."""

    def project(self, layer: int, projection: Projection, x: Tensor, linear: Linear) -> Tensor:
        """Returns x W^T + bias, [tokens, outputs]; x: [tokens, inputs]. Query, key and value are one projection."""
        return linear_layer(x, linear.weight, linear.bias)

    def sublayer_output(self, layer: int, projection: Projection, out: Tensor) -> Tensor:
        """Returns the tensor that is added to the residual in place of `out`; both are [tokens, hidden].

        projection: the projection that computed `out`: ATTENTION_OUT or DOWN.
        """
        return out

    def prefix(self, layer: int) -> Prefix | None:
        """Returns keys and values that every row attends to besides its own, or None."""
        return None


@dataclass(frozen=True, slots=True)
class _Layer:
    weights: BertLayer
    activation: Callable[[Tensor], Tensor]


class TrainingEncoder:
    """A BERT, RoBERTa, XLM-R, CamemBERT or ELECTRA encoder with gradients.

    Its outputs equal those of the transformers library up to rounding. The base's own dropout stays off, so that
    frozen layers compute the function that will be served.
    """

    def __init__(self, encoder: nn.Module, dtype: torch.dtype, *, trains_encoder: bool = False) -> None:
        """Reads the encoder's layers.

        encoder: the encoder module of a base. dtype: dtype of activations. trains_encoder: whether training changes the
        encoder's own parameters, which are then read again in each forward pass.
        """
        self._encoder, self.dtype = encoder, dtype
        self._modules = list(encoder.get_submodule("encoder.layer").children())
        self._frozen_layers = None if trains_encoder else self._read(range(self.num_layers))

    @property
    def num_layers(self) -> int:
        """The number of layers."""
        return len(self._modules)

    def embed(self, packed: PackedRows) -> Tensor:
        """Returns the input of the first layer, [tokens, hidden]."""
        x: Tensor = self._encoder.get_submodule("embeddings")(
            input_ids=packed.token_ids, token_type_ids=packed.type_ids, position_ids=packed.position_ids
        )
        projection = getattr(self._encoder, "embeddings_project", None)
        return (x if projection is None else projection(x))[0].to(self.dtype)

    def forward(self, packed: PackedRows, x: Tensor, layers: range, hooks: LayerHooks) -> Tensor:
        """Runs `layers`; returns the output of the last one.

        x: the input of the first of `layers`; both are [tokens, hidden].
        """
        if not layers:
            return x
        weights = self._frozen_layers or self._read(layers)
        heads = weights[layers[0]].weights.num_heads
        attention = TrainingAttention(packed, heads, x.shape[1] // heads)
        num_tokens = len(x)
        x = self._pad(x)
        for number in layers:
            x = self._layer(number, weights[number], x, attention, hooks)
        return x[:num_tokens]

    def _pad(self, x: Tensor) -> Tensor:
        """Pads `x` to one of a few lengths if oneDNN computes the products; no row attends to the padding.

        oneDNN compiles and caches twelve kernels for each new length. Without padding, these kernels fragmented the
        heap, which grew to 7 GiB.
        """
        if not onednn.supports(x.device, self.dtype):
            return x
        return functional.pad(x, (0, 0, 0, onednn.padded_length(len(x)) - len(x)))

    def _layer(self, number: int, layer: _Layer, x: Tensor, attention: TrainingAttention, hooks: LayerHooks) -> Tensor:
        weights = layer.weights
        context = attention(hooks.project(number, Projection.QKV, x, weights.qkv), hooks.prefix(number))
        out = hooks.project(number, Projection.ATTENTION_OUT, context, weights.attention_out)
        x = weights.attention_norm(x + hooks.sublayer_output(number, Projection.ATTENTION_OUT, out))
        up = layer.activation(hooks.project(number, Projection.UP, x, weights.up))
        out = hooks.project(number, Projection.DOWN, up, weights.down)
        return weights.output_norm(x + hooks.sublayer_output(number, Projection.DOWN, out))

    def _read(self, layers: range) -> dict[int, _Layer]:
        return {
            number: _Layer(
                _with_dtype(BertLayer.read(self._modules[number], self.dtype), self.dtype),
                # The activation in `weights` may work in place, which autograd forbids
                self._modules[number].get_submodule("intermediate.intermediate_act_fn"),
            )
            for number in layers
        }


def product_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Returns the dtype of activations and frozen weights; trained parameters and losses are always fp32.

    precision: "fp32", "bf16", or "auto": bf16 if the processor has instructions for it. Raises InvalidInput for "bf16"
    without such instructions: emulated bf16 takes eight times as long as fp32.
    """
    supported = _has_bf16(device)
    if precision == BF16 and not supported:
        raise InvalidInput(
            f"precision is {BF16}, and this {device.type} device has no instructions for it: use {FP32}",
            field="precision",
        )
    return torch.bfloat16 if supported and precision in (AUTO, BF16) else torch.float32


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _with_dtype(layer: BertLayer, dtype: torch.dtype) -> BertLayer:
    """Returns the layer with its four weight matrices in `dtype`; biases and norms already have this dtype."""

    def cast(linear: Linear) -> Linear:
        return Linear(linear.weight.to(dtype), linear.bias)

    return replace(
        layer,
        qkv=cast(layer.qkv),
        attention_out=cast(layer.attention_out),
        up=cast(layer.up),
        down=cast(layer.down),
    )
