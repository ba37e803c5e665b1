"""The encoder at inference: runs packed rows through BERT layers, with any mix of adapters."""

import copy

import torch
from torch import Tensor, nn

from lorb_adapters.encoder import onednn
from lorb_adapters.encoder.attention import PackedAttention, choose_attention
from lorb_adapters.encoder.bert_layer import BertLayer, is_bert_layer
from lorb_adapters.encoder.lora_concatenated import ConcatenatedLora, ZeroFilledMatrices
from lorb_adapters.encoder.lora_cuda_grouped import FlatAdapters, GroupedLora, prefers_grouped
from lorb_adapters.encoder.lora_segments import LoraMatricesCache, SegmentLora
from lorb_adapters.encoder.memory import Workspace
from lorb_adapters.encoder.packing import PackedRows
from lorb_adapters.encoder.projections import (
    PROJECTION_MODULES,
    AdaptedProjections,
    BaseProjections,
    BaseThenLora,
    Projection,
)
from lorb_adapters.encoder.segments import Segments
from lorb_adapters.lora.weights import AdapterWeights

# Paths in transformers' encoder module. Only ELECTRA has the embedding projection.
_EMBEDDINGS, _EMBEDDING_PROJECTION, _LAYERS = "embeddings", "embeddings_project", "encoder.layer"


class PackedEncoder:
    """The forward pass of BERT, RoBERTa, XLM-RoBERTa, CamemBERT and ELECTRA, in few operations.

    The results equal those of transformers' forward up to rounding. Not thread-safe: all batches share buffers. Another
    thread uses `for_another_thread()`.

    Attributes:
        dtype: the dtype of activations and products.
        projection_shapes: a pair (inputs, outputs) for each of the four projections of every layer, layer by layer. For
            the fused query-key-value projection, `outputs` is that of one of the three modules, not their sum.
        num_heads: the number of heads of each layer's attention.
    """

    def __init__(self, encoder: nn.Module, *, compute_dtype: torch.dtype | None = None) -> None:
        """Reads the weights of an encoder for which `supports` is true.

        compute_dtype: the dtype of activations and products; by default `default_compute_dtype(encoder)`.
        """
        self._device = next(encoder.parameters()).device
        self.dtype = compute_dtype or default_compute_dtype(encoder)
        self._uses_onednn = onednn.supports(self._device, self.dtype)
        self._concatenates = self._uses_onednn and self.dtype != torch.float32
        self._embeddings = encoder.get_submodule(_EMBEDDINGS)
        self._embedding_projection: nn.Module | None = getattr(encoder, _EMBEDDING_PROJECTION, None)
        modules = encoder.get_submodule(_LAYERS).children()
        with torch.no_grad():
            self._layers = [BertLayer.read(each, self.dtype, for_onednn=self._uses_onednn) for each in modules]
        self.projection_shapes = [shape for layer in self._layers for shape in _projection_shapes(layer)]
        self.num_heads = self._layers[0].num_heads
        self._workspace = Workspace(self._device)
        self._base = BaseProjections(self.dtype, self._workspace)
        # Each cache holds adapters in the layout of one way to compute LoRA. A CPU fills one cache, CUDA up to two.
        self._zero_filled = ZeroFilledMatrices(self.projection_shapes, self.dtype)
        self._by_segment = LoraMatricesCache(len(self._layers), self.dtype)
        self._flat = FlatAdapters(self.projection_shapes, self._device, self.dtype)

    def for_another_thread(self) -> "PackedEncoder":
        """Returns an encoder that another thread may use at the same time.

        Both share weights and the cached matrices of adapters; each has buffers of its own.
        """
        other = copy.copy(self)
        other._workspace = Workspace(self._device)
        other._base = BaseProjections(self.dtype, other._workspace)
        return other

    @property
    def scratch_bytes(self) -> int:
        """Memory of the buffers that all batches share, in bytes. Any thread may read it."""
        return self._workspace.size_bytes

    @staticmethod
    def supports(encoder: nn.Module) -> bool:
        """Returns whether the encoder's modules are embeddings followed by supported BERT layers."""
        names = {name for name, _ in encoder.named_children()}
        try:
            layers = list(encoder.get_submodule(_LAYERS).children())
        except AttributeError:
            return False
        return (
            {"embeddings", "encoder"} <= names <= {"embeddings", "encoder", _EMBEDDING_PROJECTION, "pooler"}
            and {name for name, _ in encoder.get_submodule("encoder").named_children()} == {"layer"}
            and bool(layers)
            and all(is_bert_layer(layer) for layer in layers)
        )

    @torch.inference_mode()
    def forward(self, packed: PackedRows, segments: Segments) -> Tensor:
        """Returns the last hidden states, [tokens, hidden] in the compute dtype, with each segment's adapter applied.

        segments: triples (first token, end, adapter), in order, without overlap; other tokens use the base alone.
        """
        x = self._pad(self.embed(packed.token_ids, packed.type_ids, packed.position_ids))
        head_size = x.shape[1] // self.num_heads
        attention = choose_attention(packed, len(x), self.num_heads, head_size, self.dtype, self._workspace)
        return self.run_layers(x, attention, self._projections(segments, packed.num_tokens))[: packed.num_tokens]

    def served_bytes(self, weights: AdapterWeights) -> int:
        """Memory that an adapter takes while it is served: its tensors and the copies that batches cache, in bytes.

        weights: in the dtype of the encoder's weights.
        """
        if not weights.lora:
            return weights.size_bytes
        if self._concatenates:
            return weights.size_bytes + self._zero_filled.size_bytes(weights)
        copies = self._by_segment.size_bytes(weights)
        if (
            self._device.type != "cpu" and self.dtype != torch.float32
        ):  # grouped products, and CUDA graphs in a layout of the same size
            copies += 2 * self._flat.size_bytes(weights)
        return weights.size_bytes + copies

    def embed(self, token_ids: Tensor, type_ids: Tensor, position_ids: Tensor) -> Tensor:
        """Returns the first layer's input, [tokens, hidden].

        token_ids, type_ids, position_ids: [1, tokens], int32 or int64.
        """
        x: Tensor = self._embeddings(input_ids=token_ids, token_type_ids=type_ids, position_ids=position_ids)
        if self._embedding_projection is not None:
            x = self._embedding_projection(x)
        return x[0].to(self.dtype)

    def run_layers(self, x: Tensor, attention: PackedAttention, projections: AdaptedProjections) -> Tensor:
        """Returns the last hidden states, [tokens, hidden]; x: what `embed` returned."""
        for layer_number, layer in enumerate(self._layers):
            x = self._attend(x, layer_number, layer, attention, projections)
            x = self._feed_forward(x, layer_number, layer, projections)
        return x

    def _pad(self, x: Tensor) -> Tensor:
        """Pads `x`, [tokens, hidden], to one of a few lengths where oneDNN is used, so that it reuses its kernels."""
        if not self._uses_onednn:
            return x
        padded = self._workspace.buffer("padded", (onednn.padded_length(len(x)), x.shape[1]), self.dtype)
        padded[: len(x)] = x
        padded[len(x) :] = 0.0
        return padded

    def _projections(self, segments: Segments, num_tokens: int) -> AdaptedProjections:
        """Returns the fastest way to compute LoRA on this device in this dtype."""
        if self._concatenates:
            return BaseThenLora(self._base, ConcatenatedLora(segments, num_tokens, self._zero_filled))
        if prefers_grouped(self._device, self.dtype, len(segments)):
            return BaseThenLora(self._base, GroupedLora(segments, num_tokens, self._flat, self._device))
        return BaseThenLora(self._base, SegmentLora(segments, self._by_segment, self._workspace))

    def _attend(
        self,
        x: Tensor,
        layer_number: int,
        layer: BertLayer,
        attention: PackedAttention,
        projections: AdaptedProjections,
    ) -> Tensor:
        context = attention(projections.project(layer_number, Projection.QKV, x, layer.qkv))
        return layer.attention_norm(
            projections.project_onto_residual(layer_number, Projection.ATTENTION_OUT, x, context, layer.attention_out)
        )

    def _feed_forward(self, x: Tensor, layer_number: int, layer: BertLayer, projections: AdaptedProjections) -> Tensor:
        up = layer.activation(projections.project(layer_number, Projection.UP, x, layer.up))
        return layer.output_norm(projections.project_onto_residual(layer_number, Projection.DOWN, x, up, layer.down))


def _projection_shapes(layer: BertLayer) -> list[tuple[int, int]]:
    """Returns a pair (inputs, outputs of one module) for each of the layer's four projections."""
    return [
        (linear.weight.shape[1], linear.weight.shape[0] // len(PROJECTION_MODULES[projection]))
        for projection, linear in zip(Projection, layer.linears, strict=True)
    ]


def default_compute_dtype(encoder: nn.Module) -> torch.dtype:
    """Returns the weights' dtype; but fp32 for bfloat16 weights on a CPU without bfloat16 instructions.

    On such a CPU a product in bfloat16 takes eight times as long as converting the weight to fp32 and multiplying.
    """
    parameter = next(encoder.parameters())
    is_cpu_bfloat16 = parameter.device.type == "cpu" and parameter.dtype == torch.bfloat16
    return torch.float32 if is_cpu_bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported() else parameter.dtype
