"""The encoder's forward with gradients: packed rows, from any layer on, with whatever a method adds to it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from lorb_adapters.encoder import onednn
from lorb_adapters.encoder.bert_layer import BertLayer, Linear
from lorb_adapters.encoder.lora_matrices import Projection
from lorb_adapters.encoder.packed_encoder import PackedEncoder
from lorb_adapters.encoder.packing import PackedRows
from lorb_adapters.training.encoder.attention import Prefix, TrainingAttention


class LayerHooks:
    """What a method adds to the base at each place; this one adds nothing."""

    def product(self, layer: int, join: Projection, x: Tensor, linear: Linear) -> Tensor:
        """X weight^T + bias of one of a layer's four products, query, key and value being one; [tokens, out]."""
        return functional.linear(x, linear.weight, linear.bias)

    def sublayer(self, layer: int, join: Projection, out: Tensor) -> Tensor:
        """What is put onto the residual instead of `out`, [tokens, hidden]; join: ATTENTION_OUT or DOWN."""
        return out

    def prefix(self, layer: int) -> Prefix | None:
        """Keys and values that every row attends to beside its own."""
        return None


@dataclass(frozen=True, slots=True)
class _Layer:
    weights: BertLayer
    activation: Callable[[Tensor], Tensor]


class TrainingEncoder:
    """BERT, RoBERTa, XLM-R, CamemBERT and ELECTRA with gradients. Equal to their own forward up to rounding.

    Dropout of the base's own stays off: a frozen part is the function that will be served.
    """

    def __init__(self, encoder: nn.Module, dtype: torch.dtype, *, trains_encoder: bool = False) -> None:
        """`encoder` must be supported. dtype: of products. trains_encoder: its parameters change between passes."""
        self._encoder, self.dtype = encoder, dtype
        self._modules = list(encoder.get_submodule("encoder.layer").children())
        self._kept = None if trains_encoder else self._read(range(self.num_layers))

    @staticmethod
    def supports(encoder: nn.Module) -> bool:
        """Whether the encoder's forward is embeddings and then BERT layers, by its structure."""
        return PackedEncoder.supports(encoder)

    @property
    def num_layers(self) -> int:
        """How many layers the encoder has."""
        return len(self._modules)

    def embed(self, packed: PackedRows) -> Tensor:
        """What the first layer reads, [tokens, hidden]."""
        x: Tensor = self._encoder.get_submodule("embeddings")(
            input_ids=packed.token_ids, token_type_ids=packed.type_ids, position_ids=packed.position_ids
        )
        projection = getattr(self._encoder, "embeddings_project", None)
        return (x if projection is None else projection(x))[0].to(self.dtype)

    def forward(self, packed: PackedRows, x: Tensor, layers: range, additions: LayerHooks) -> Tensor:
        """Runs `layers` on what the first of them reads, [tokens, hidden]; returns what the last writes."""
        if not layers:
            return x
        read = self._kept or self._read(layers)
        heads = read[layers[0]].weights.num_heads
        attention = TrainingAttention(packed, heads, x.shape[1] // heads)
        num_tokens = len(x)
        x = self._in_steps(x)
        for number in layers:
            x = self._layer(number, read[number], x, attention, additions)
        return x[:num_tokens]

    def _in_steps(self, x: Tensor) -> Tensor:
        """With oneDNN, as many tokens more as make a length that many passes share; no row attends to them.

        For a length of its own each pass would have its twelve products compiled, and the kernels, kept in oneDNN's and
        torch's caches, stand between the freed tensors of the heap: it grew to 7 GiB.
        """
        if not onednn.computes(x.device, self.dtype):
            return x
        return functional.pad(x, (0, 0, 0, onednn.token_step_up(len(x)) - len(x)))

    def _layer(
        self, number: int, layer: _Layer, x: Tensor, attention: TrainingAttention, additions: LayerHooks
    ) -> Tensor:
        weights = layer.weights
        context = attention(additions.product(number, Projection.QKV, x, weights.qkv), additions.prefix(number))
        out = additions.product(number, Projection.ATTENTION_OUT, context, weights.attention_out)
        x = weights.attention_norm(x + additions.sublayer(number, Projection.ATTENTION_OUT, out))
        up = layer.activation(additions.product(number, Projection.UP, x, weights.up))
        out = additions.product(number, Projection.DOWN, up, weights.down)
        return weights.norm(x + additions.sublayer(number, Projection.DOWN, out))

    def _read(self, layers: range) -> dict[int, _Layer]:
        return {
            number: _Layer(
                _in_dtype(BertLayer.read(self._modules[number], self.dtype), self.dtype),
                # BertLayer's may work in place, which autograd forbids
                self._modules[number].get_submodule("intermediate.intermediate_act_fn"),
            )
            for number in layers
        }


def _in_dtype(layer: BertLayer, dtype: torch.dtype) -> BertLayer:
    """The layer with its four weights in `dtype` too; biases and norms are read in it."""

    def cast(linear: Linear) -> Linear:
        return Linear(linear.weight.to(dtype), linear.bias)

    return replace(
        layer,
        qkv=cast(layer.qkv),
        attention_out=cast(layer.attention_out),
        up=cast(layer.up),
        down=cast(layer.down),
    )
