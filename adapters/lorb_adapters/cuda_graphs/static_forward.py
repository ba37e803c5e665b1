"""A pass of which nothing changes but what its tensors hold, so that a device can be told once and repeat it."""

import torch
from torch import Tensor

from lorb_adapters.cuda_graphs.adapter_slots import AdapterSlots
from lorb_adapters.cuda_graphs.inputs import StaticInputs
from lorb_adapters.cuda_graphs.lora_columns import ColumnLora
from lorb_adapters.encoder.adapted_products import BaseFirst
from lorb_adapters.encoder.attention import BlockAttention, RowAttention, VarlenAttention
from lorb_adapters.encoder.base_products import BaseProducts
from lorb_adapters.encoder.packed_encoder import PackedEncoder
from lorb_adapters.encoder.workspace import Workspace
from lorb_adapters.lora.head import CLS, HEAD_KINDS, SUM


class StaticForward:
    """From inputs and slots to scores: the same operations on the same memory each time, whatever they hold."""

    def __init__(self, encoder: PackedEncoder, inputs: StaticInputs, slots: AdapterSlots, scratch: Workspace) -> None:
        """scratch: shared with other static passes only, the largest of which runs first: its buffers must stay."""
        self.inputs = inputs
        self._encoder = encoder
        self._slots = slots
        self._base = BaseProducts(encoder.dtype, scratch)

    def run(self) -> Tensor:
        """Rescoring scores, [rows] fp32 in new memory; of unused rows they mean nothing."""
        inputs = self.inputs
        others = inputs.token_slots[:, None] != inputs.column_owners
        lora = ColumnLora(self._slots.layout, self._slots.columns, others)
        x = self._encoder.embed(inputs.token_ids[None], inputs.type_ids[None], inputs.position_ids[None])
        return self._scores(self._encoder.run(x, self._attention(x), BaseFirst(self._base, lora)))

    def _attention(self, x: Tensor) -> RowAttention:
        heads = self._encoder.num_heads
        size = x.shape[1] // heads
        if x.is_cuda and x.dtype != torch.float32:
            return VarlenAttention(self.inputs.offsets, self.inputs.shape.longest, heads, size)
        return BlockAttention(self.inputs.offsets, heads, size)

    def _scores(self, hidden: Tensor) -> Tensor:
        """What `head.mixed_scores` makes of hidden states, [tokens, hidden]."""
        inputs = self.inputs
        by_every_head = hidden.float() @ self._slots.head_weights.T  # [tokens, slots]
        per_token = by_every_head.flatten().index_select(0, inputs.head_places)
        total = per_token.new_zeros(inputs.shape.rows + 1).index_add_(0, inputs.scored_rows, per_token)[:-1]
        first = per_token.index_select(0, inputs.starts)
        bias = self._slots.head_biases.index_select(0, inputs.row_slots)
        is_sum, is_cls = (inputs.head_kinds == HEAD_KINDS.index(kind) for kind in (SUM, CLS))
        by_tokens = torch.where(is_sum, total + bias * inputs.num_scored, total / inputs.num_scored + bias)
        return torch.where(is_cls, first + bias, by_tokens)
