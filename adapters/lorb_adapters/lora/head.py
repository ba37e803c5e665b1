"""The weights of a score head, which turns hidden states into one rescoring score per hypothesis."""

from dataclasses import dataclass

import torch
from torch import Tensor

SUM, MEAN, CLS = "sum", "mean", "cls"
HEAD_KINDS = (SUM, MEAN, CLS)


@dataclass(frozen=True, slots=True)
class HeadWeights:
    """A linear head, computed in fp32 for every dtype of the encoder.

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
        """Returns a head that scores every hypothesis 0, so an untrained adapter keeps the first-pass order."""
        return cls(kind, torch.zeros(hidden_size), torch.zeros(()))
