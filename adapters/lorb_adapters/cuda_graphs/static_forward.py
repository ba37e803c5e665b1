"""The forward pass that a CUDA graph captures: the same operations on the same memory for every batch."""

import torch
from torch import Tensor

from lorb_adapters.cuda_graphs.inputs import StaticInputs
from lorb_adapters.cuda_graphs.slot_lora import SlotLora
from lorb_adapters.cuda_graphs.slots import AdapterSlots
from lorb_adapters.encoder.attention import BlockDiagonalAttention, PackedAttention, VarlenAttention
from lorb_adapters.encoder.memory import Workspace
from lorb_adapters.encoder.packed_encoder import PackedEncoder
from lorb_adapters.encoder.projections import BaseProjections, BaseThenLora
from lorb_adapters.lora.head import CLS, HEAD_KINDS, SUM


class StaticForward:
    """Computes scores from static inputs and adapter slots."""

    def __init__(self, encoder: PackedEncoder, inputs: StaticInputs, slots: AdapterSlots, workspace: Workspace) -> None:
        """workspace: shared by static forwards only. The largest runs first, so later ones replace no buffer."""
        self.inputs = inputs
        self._encoder = encoder
        self._slots = slots
        self._base = BaseProjections(encoder.dtype, workspace)

    def run(self) -> Tensor:
        """Returns rescoring scores, [rows] fp32 in new memory; the scores of unused rows are arbitrary."""
        inputs = self.inputs
        foreign = inputs.token_slots[:, None] != inputs.rank_owners
        lora = SlotLora(self._slots.layout, self._slots.matrices, foreign)
        x = self._encoder.embed(inputs.token_ids[None], inputs.type_ids[None], inputs.position_ids[None])
        return self._scores(self._encoder.run_layers(x, self._attention(x), BaseThenLora(self._base, lora)))

    def _attention(self, x: Tensor) -> PackedAttention:
        heads = self._encoder.num_heads
        head_size = x.shape[1] // heads
        if x.is_cuda and x.dtype != torch.float32:
            return VarlenAttention(self.inputs.offsets, self.inputs.bucket.max_row_tokens, heads, head_size)
        return BlockDiagonalAttention(self.inputs.offsets, heads, head_size)

    def _scores(self, hidden: Tensor) -> Tensor:
        """Applies each row's score head to hidden states, [tokens, hidden]."""
        inputs = self.inputs
        by_every_head = hidden.float() @ self._slots.head_weights.T  # [tokens, slots]
        per_token = by_every_head.flatten().index_select(0, inputs.head_positions)
        total = per_token.new_zeros(inputs.bucket.rows + 1).index_add_(0, inputs.scored_rows, per_token)[:-1]
        first = per_token.index_select(0, inputs.starts)
        bias = self._slots.head_biases.index_select(0, inputs.row_slots)
        is_sum, is_cls = (inputs.head_kinds == HEAD_KINDS.index(kind) for kind in (SUM, CLS))
        sum_or_mean = torch.where(is_sum, total + bias * inputs.num_scored, total / inputs.num_scored + bias)
        return torch.where(is_cls, first + bias, sum_or_mean)
