"""The weights of a score head, which turns hidden states into one rescoring score per hypothesis."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # torch takes a second to import, and manifests need only the kinds
    from torch import Tensor

SUM, MEAN, CLS = "sum", "mean", "cls"
HEAD_KINDS = (SUM, MEAN, CLS)


@dataclass(frozen=True, slots=True)
class HeadWeights:
    """A linear head, computed in fp32 for every dtype of the encoder.

    Attributes:
        kind: "sum" adds up the scores of all scored tokens, as a log-likelihood does; "mean" averages them;
            "cls" scores the first token alone (Yu et al. 2023, arXiv 2309.15223).
        weight: the factors of a token's hidden state, [hidden].
        bias: a scalar, added to each token's score.
    """

    kind: str
    weight: "Tensor"
    bias: "Tensor"

    @classmethod
    def zeros(cls, kind: str, hidden_size: int) -> "HeadWeights":
        """Returns a head that scores every hypothesis 0, so an untrained adapter keeps the first-pass order."""
        import torch

        return cls(kind, torch.zeros(hidden_size), torch.zeros(()))
