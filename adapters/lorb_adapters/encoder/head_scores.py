"""Applies score heads to the hidden states of packed rows: one rescoring score per row.

Scores are natural log, higher is better.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from lorb_adapters.encoder.packing import PackedRows
from lorb_adapters.lora.head import CLS, SUM, HeadWeights


def pool(hidden: Tensor, rows: PackedRows, kind: str) -> Tensor:
    """Returns the features that a head of this kind reads, [rows, hidden] fp32; hidden: [tokens, hidden].

    For "cls" they are the first token's hidden state. For other kinds they are the mean over the scored tokens.
    """
    if kind == CLS:
        return hidden[rows.starts].float()
    scored = hidden[rows.scored_positions].float()
    total = hidden.new_zeros((rows.num_rows, hidden.shape[1]), dtype=torch.float32)
    return total.index_add(0, rows.scored_rows, scored) / rows.num_scored[:, None]


def pooled_scores(features: Tensor, rows: PackedRows, head: HeadWeights) -> Tensor:
    """Returns the rescoring scores of rows that share a head, [rows] fp32; features: [rows, hidden].

    A sum head adds its bias once for each scored token: the bias rewards or penalises length.
    """
    per_row = features @ head.weight + head.bias
    return per_row * rows.num_scored if head.kind == SUM else per_row


def mixed_head_scores(hidden: Tensor, rows: PackedRows, heads: Sequence[HeadWeights], row_heads: Tensor) -> Tensor:
    """Returns the rescoring scores of rows with different heads, [rows] fp32.

    hidden: [tokens, hidden]. row_heads: the index of each row's head in `heads`, [rows]; not read if there is one head.
    A head is linear, so this scores each token and adds up a row's scores, instead of its hidden states.
    """
    weight = torch.stack([head.weight for head in heads])
    bias = torch.stack([head.bias for head in heads])
    per_token = hidden.float() @ weight.T  # [tokens, heads]
    if len(heads) == 1:
        return _scores_of_kind(
            heads[0].kind, per_token[rows.scored_positions, 0], per_token[rows.starts, 0], rows, bias
        )
    scored = per_token[rows.scored_positions, row_heads[rows.scored_rows]]
    first, row_bias = per_token[rows.starts, row_heads], bias[row_heads]
    kinds = {head.kind for head in heads}
    if len(kinds) == 1:
        return _scores_of_kind(kinds.pop(), scored, first, rows, row_bias)
    result = torch.zeros_like(first)
    for kind in kinds:
        has_kind = torch.tensor([head.kind == kind for head in heads], device=hidden.device)[row_heads]
        result = torch.where(has_kind, _scores_of_kind(kind, scored, first, rows, row_bias), result)
    return result


def _scores_of_kind(kind: str, scored: Tensor, first: Tensor, rows: PackedRows, bias: Tensor) -> Tensor:
    """Returns the scores of rows whose heads have one kind, [rows].

    scored: the product of hidden state and head weight for each scored token, [scored tokens]. first: the same product
    for each row's first token, [rows]. bias: [rows] or [1].
    """
    if kind == CLS:
        return first + bias
    total = torch.zeros_like(first).index_add_(0, rows.scored_rows, scored)
    return total + bias * rows.num_scored if kind == SUM else total / rows.num_scored + bias
