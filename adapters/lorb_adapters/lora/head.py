"""The weights of a score head, which turns hidden states into one rescoring score a hypothesis."""

from dataclasses import dataclass

import torch
from torch import Tensor

SUM, MEAN, CLS = "sum", "mean", "cls"
HEAD_KINDS = (SUM, MEAN, CLS)


@dataclass(frozen=True, slots=True)
class HeadWeights:
    """A linear head. It is computed in fp32 whatever the encoder's dtype.

    Attributes:
        kind: "sum" adds a score for each scored token, as a log-likelihood does; "mean" averages these scores;
            "cls" scores the first token alone (Yu et al. 2023, arXiv 2309.15223).
        weight: [hidden]
        bias: []
    """

    kind: str
    weight: Tensor
    bias: Tensor

    @classmethod
    def zeros(cls, kind: str, hidden_size: int) -> "HeadWeights":
        """Returns a head that scores everything 0: a fresh adapter leaves the first-pass order as it is."""
        return cls(kind, torch.zeros(hidden_size), torch.zeros(()))
