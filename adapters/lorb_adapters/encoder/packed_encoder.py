"""The inference forward of packed rows through a BERT-shaped encoder, straight from its weights."""

import torch
from torch import Tensor, nn

from lorb_adapters.encoder import onednn
from lorb_adapters.encoder.adapted_products import AdaptedProducts, BaseFirst
from lorb_adapters.encoder.attention import RowAttention, row_attention
from lorb_adapters.encoder.base_products import BaseProducts
from lorb_adapters.encoder.bert_layer import BertLayer, is_bert_layer
from lorb_adapters.encoder.flat_adapters import FlatAdapters
from lorb_adapters.encoder.lora_cpu_bf16 import ConcatenatedLora, PaddedAdapters
from lorb_adapters.encoder.lora_cpu_fp32 import LoraFirst, LorasWithBias
from lorb_adapters.encoder.lora_cuda import GroupedLora, prefers_groups
from lorb_adapters.encoder.lora_matrices import JOINED_SITES, LoraStacks, Projection, SegmentLora, Segments
from lorb_adapters.encoder.packing import PackedRows
from lorb_adapters.encoder.workspace import Workspace

_EMBEDDINGS, _PROJECTION, _LAYERS = "embeddings", "embeddings_project", "encoder.layer"


class PackedEncoder:
    """BERT, RoBERTa, XLM-R, CamemBERT and ELECTRA as few products and passes over memory as they need.

    Equal to the encoder's own forward up to rounding. Not thread-safe: a pass writes into buffers that the next uses.

    Attributes:
        dtype: of activations and products.
        joins: [layers * 4], the (inputs, outputs of a part) of every join, layer by layer.
        num_heads: of each layer's attention.
    """

    def __init__(self, encoder: nn.Module, *, compute_dtype: torch.dtype | None = None) -> None:
        """`encoder` must be supported. compute_dtype: of activations and products; by default `compute_dtype_of` it."""
        self._device = next(encoder.parameters()).device
        self.dtype = compute_dtype or compute_dtype_of(encoder)
        self._by_onednn = onednn.computes(self._device, self.dtype)
        self._embeddings = encoder.get_submodule(_EMBEDDINGS)
        self._projection: nn.Module | None = getattr(encoder, _PROJECTION, None)
        layers = encoder.get_submodule(_LAYERS)
        with torch.no_grad():
            self._layers = [BertLayer.read(layer, self.dtype, packs=self._by_onednn) for layer in layers.children()]
        self.joins = joins = [shape for layer in self._layers for shape in _joins(layer)]
        self.num_heads = self._layers[0].num_heads
        self._scratch = Workspace(self._device)
        self._base = BaseProducts(self.dtype, self._scratch)
        # each keeps what it made of an adapter; a device uses one, CUDA two
        self._biased = LorasWithBias(self._layers, self.dtype)
        self._padded = PaddedAdapters(joins, self.dtype)
        self._stacks = LoraStacks(len(self._layers), self.dtype)
        self._flats = FlatAdapters(joins, self._device, self.dtype)

    @staticmethod
    def supports(encoder: nn.Module) -> bool:
        """Whether the encoder's forward is embeddings and then BERT layers, by its structure."""
        names = {name for name, _ in encoder.named_children()}
        try:
            layers = list(encoder.get_submodule(_LAYERS).children())
        except AttributeError:
            return False
        return (
            {"embeddings", "encoder"} <= names <= {"embeddings", "encoder", _PROJECTION, "pooler"}
            and {name for name, _ in encoder.get_submodule("encoder").named_children()} == {"layer"}
            and not getattr(getattr(encoder, "config", None), "is_decoder", False)
            and bool(layers)
            and all(is_bert_layer(layer) for layer in layers)
        )

    @torch.inference_mode()
    def forward(self, packed: PackedRows, segments: Segments) -> Tensor:
        """The last hidden states, [tokens, hidden] in the compute dtype, with each segment's adapter applied.

        segments: (first token, end, adapter), in order and without overlap; tokens outside have the base alone.
        """
        x = self.embed(packed.token_ids, packed.type_ids, packed.position_ids)
        size = x.shape[1] // self.num_heads
        attention = row_attention(packed, len(x), self.num_heads, size, self.dtype, self._scratch)
        return self.run(x, attention, self._products(segments, packed.num_tokens))[: packed.num_tokens]

    def run(self, x: Tensor, attention: RowAttention, products: AdaptedProducts) -> Tensor:
        """The layers in turn: from embeddings to the last hidden states, both [tokens, hidden]."""
        for number, layer in enumerate(self._layers):
            x = self._attend(x, number, layer, attention, products)
            x = self._feed_forward(x, number, layer, products)
        return x

    def _products(self, segments: Segments, num_tokens: int) -> AdaptedProducts:
        if self._by_onednn:
            return BaseFirst(self._base, ConcatenatedLora(segments, num_tokens, self._padded))
        if self._device.type == "cpu":
            return LoraFirst(self._base, segments, num_tokens, self._biased, self._scratch)
        if prefers_groups(self._device, self.dtype, len(segments)):
            return BaseFirst(self._base, GroupedLora(segments, num_tokens, self._flats, self._device))
        return BaseFirst(self._base, SegmentLora(segments, self._stacks, self._scratch))

    def embed(self, token_ids: Tensor, type_ids: Tensor, position_ids: Tensor) -> Tensor:
        """What the first layer reads, [tokens, hidden]; with oneDNN as many tokens more as make a length it knows.

        token_ids, type_ids, position_ids: [1, tokens], int32 or int64.
        """
        x: Tensor = self._embeddings(input_ids=token_ids, token_type_ids=type_ids, position_ids=position_ids)
        if self._projection is not None:
            x = self._projection(x)
        if not self._by_onednn:
            return x[0].to(self.dtype)
        embedded = self._scratch.take("embedded", (onednn.token_step_up(x.shape[1]), x.shape[2]), self.dtype)
        embedded[: x.shape[1]] = x[0]
        embedded[x.shape[1] :] = 0.0
        return embedded

    def _attend(
        self, x: Tensor, number: int, layer: BertLayer, attention: RowAttention, products: AdaptedProducts
    ) -> Tensor:
        context = attention(products.plain(number, Projection.QKV, x, layer.qkv))
        return layer.attention_norm(
            products.onto_residual(number, Projection.ATTENTION_OUT, x, context, layer.attention_out)
        )

    def _feed_forward(self, x: Tensor, number: int, layer: BertLayer, products: AdaptedProducts) -> Tensor:
        up = layer.activation(products.plain(number, Projection.UP, x, layer.up))
        return layer.norm(products.onto_residual(number, Projection.DOWN, x, up, layer.down))


def _joins(layer: BertLayer) -> list[tuple[int, int]]:
    """(inputs, outputs of a part) of the layer's four products."""
    return [
        (linear.weight.shape[1], linear.weight.shape[0] // len(JOINED_SITES[join]))
        for join, linear in zip(Projection, layer.linears, strict=True)
    ]


def compute_dtype_of(encoder: nn.Module) -> torch.dtype:
    """The dtype to compute in: the weights', unless they are bfloat16 on a processor without instructions for it.

    There a product in bfloat16 takes eight times as long as one in fp32, the weight's conversion included.
    """
    parameter = next(encoder.parameters())
    slow = parameter.device.type == "cpu" and parameter.dtype == torch.bfloat16
    return torch.float32 if slow and not torch.ops.mkldnn._is_mkldnn_bf16_supported() else parameter.dtype
