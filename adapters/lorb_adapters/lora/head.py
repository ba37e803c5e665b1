"""The score head: from the encoder's hidden states to one rescoring score a row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from lorb_adapters.encoder.packing import PackedRows

SUM, MEAN, CLS = "sum", "mean", "cls"
HEAD_KINDS = (SUM, MEAN, CLS)


@dataclass(frozen=True, slots=True)
class HeadWeights:
    """A linear head. Applied in fp32 whatever the encoder's dtype.

    Attributes:
        kind: "sum" adds up a score for each scored token, as a log-likelihood does; "mean" averages them;
            "cls" reads the first token alone (Yu et al. 2023).
        weight: [hidden]
        bias: []
    """

    kind: str
    weight: Tensor
    bias: Tensor

    @classmethod
    def zeros(cls, kind: str, hidden_size: int) -> "HeadWeights":
        """A head that scores everything 0, so that a fresh adapter leaves the first-pass order untouched."""
        return cls(kind, torch.zeros(hidden_size), torch.zeros(()))


def features(hidden: Tensor, rows: "PackedRows", kind: str) -> Tensor:
    """What the head reads of each row, [rows, hidden]: its first token, or the mean of its scored tokens.

    hidden: [tokens, hidden], packed as `rows` says.
    """
    if kind == CLS:
        return hidden[rows.starts].float()
    scored = hidden[rows.scored_positions].float()
    total = hidden.new_zeros((rows.num_rows, hidden.shape[1]), dtype=torch.float32)
    return total.index_add(0, rows.scored_rows, scored) / rows.num_scored[:, None]


def scores(row_features: Tensor, rows: "PackedRows", head: HeadWeights) -> Tensor:
    """Rescoring scores of rows that share a head, [rows] fp32: natural log scale, higher is better.

    In a sum the bias counts once for each scored token: it rewards or charges length.
    """
    per_row = row_features @ head.weight + head.bias
    return per_row * rows.num_scored if head.kind == SUM else per_row


def mixed_scores(hidden: Tensor, rows: "PackedRows", heads: Sequence[HeadWeights], row_heads: Tensor) -> Tensor:
    """Rescoring scores of rows with different heads, [rows] fp32.

    hidden: [tokens, hidden]; row_heads: [rows], for each row an index into `heads`; unused where there is one head.
    A head is linear: every token is scored first and the scores are summed, not the hidden states.
    """
    weight = torch.stack([head.weight for head in heads])
    bias = torch.stack([head.bias for head in heads])
    per_token = hidden.float() @ weight.T  # [tokens, heads]
    if len(heads) == 1:
        return _of_kind(heads[0].kind, per_token[rows.scored_positions, 0], per_token[rows.starts, 0], rows, bias)
    scored = per_token[rows.scored_positions, row_heads[rows.scored_rows]]
    first, row_bias = per_token[rows.starts, row_heads], bias[row_heads]
    kinds = {head.kind for head in heads}
    if len(kinds) == 1:
        return _of_kind(kinds.pop(), scored, first, rows, row_bias)
    result = torch.zeros_like(first)
    for kind in kinds:
        of_kind = torch.tensor([head.kind == kind for head in heads], device=hidden.device)[row_heads]
        result = torch.where(of_kind, _of_kind(kind, scored, first, rows, row_bias), result)
    return result


def _of_kind(kind: str, scored: Tensor, first: Tensor, rows: "PackedRows", bias: Tensor) -> Tensor:
    """scored: [scored tokens], first: [rows], the head's weight applied; bias: [rows] or [1]; returns [rows]."""
    if kind == CLS:
        return first + bias
    total = torch.zeros_like(first).index_add_(0, rows.scored_rows, scored)
    return total + bias * rows.num_scored if kind == SUM else total / rows.num_scored + bias
