"""Distils a teacher's pseudo-log-likelihoods (PLL) into a one-pass score: RescoreBERT's L_MD (arXiv 2202.01094).

    cls head:  L_MD = mean over sentences of ((r_i - PLL(E_i)) / u)^2
    sum head:  L_MD = mean over scored tokens of ((z_t - log P_MLM(e_t | E without e_t)) / u)^2;  r_i = sum_t z_t

r_i is the student's score of text E_i, and z_t its score of token e_t. The closing separator has the target 0, so that
the targets of a text add up to its PLL. u is the standard deviation of the targets. The head is trained in units of u
around the mean of the targets. The learning rate suits encoder weights: with it, a bias in nats would need more than
100,000 steps to reach a PLL of -60.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lorb_adapters.base.loader import Base
from lorb_adapters.lora.head import CLS, HeadWeights
from lorb_adapters.pretraining.config import BuildConfig
from lorb_adapters.pretraining.encoder_trainer import EncoderTrainer
from lorb_adapters.text import EncodedHypothesis
from lorb_adapters.training.methods.method import HEAD_BIAS, HEAD_WEIGHT, head_of


@dataclass(frozen=True, slots=True)
class DistillationExample:
    """A sentence with the teacher's scores, natural log.

    Attributes:
        encoded: tokens of the sentence.
        targets: for a sum head, log P of each scored token, and 0 for closing tokens; for a cls head, only the PLL.
    """

    encoded: EncodedHypothesis
    targets: tuple[float, ...]


def distillation_example(
    encoded: EncodedHypothesis, log_probabilities: Sequence[float], head: str
) -> DistillationExample:
    """Makes the targets of a sentence.

    log_probabilities: log P of the text's tokens, without closing tokens. head: SUM or CLS.
    """
    if head == CLS:
        return DistillationExample(encoded, (sum(log_probabilities),))
    num_closing = encoded.num_tokens - encoded.scored_from - len(log_probabilities)
    return DistillationExample(encoded, (*log_probabilities, *[0.0] * num_closing))


@dataclass(frozen=True, slots=True)
class TargetScale:
    """Mean and standard deviation of the targets, natural log; the head learns (target - mean) / deviation."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, examples: Sequence[DistillationExample]) -> "TargetScale":
        """The scale of all targets; a deviation of 0 is replaced by 1."""
        targets = torch.tensor([target for each in examples for target in each.targets], dtype=torch.float64)
        return cls(float(targets.mean()), float(targets.std(correction=0)) or 1.0)


class Student(EncoderTrainer):
    """The teacher's encoder and a score head that learns the teacher's scores."""

    def __init__(self, base: Base, config: BuildConfig, scale: TargetScale) -> None:
        """Trains `base` in place. The initial head gives every token (sum) or text (cls) the score `scale.mean`."""
        self._scale = scale
        super().__init__(base, config)

    @property
    def head(self) -> HeadWeights:
        """The current score head, converted to nats."""
        scaled = head_of(self.tensors, self.config.head)
        mean, deviation = self._scale.mean, self._scale.deviation
        return HeadWeights(scaled.kind, scaled.weight * deviation, scaled.bias * deviation + mean)

    def loss(self, batch: Sequence[DistillationExample]) -> Tensor:
        """L_MD of examples sorted by length."""
        rows = [each.encoded for each in batch]
        packed = self._pack(rows)
        positions = packed.starts if self.config.head == CLS else packed.scored_positions
        head = self.head
        scores = self._hidden_states(rows, packed, None)[positions].float() @ head.weight + head.bias
        targets = torch.tensor([target for each in batch for target in each.targets], device=scores.device)
        return ((scores - targets) / self._scale.deviation).square().mean()

    @torch.inference_mode()
    def scores_of(self, rows: Sequence[EncodedHypothesis]) -> Tensor:
        """Rescoring scores of rows in any order, [rows] fp32 on the CPU."""
        return self._score(rows)

    def _initial_head(self) -> dict[str, Tensor]:
        """Returns a head of zeros. The base's own head is not used, because its units differ."""
        zeros = HeadWeights.zeros(self.config.head, self.base.hidden_size)
        return {
            HEAD_WEIGHT: zeros.weight.to(self.base.device),
            HEAD_BIAS: zeros.bias.to(self.base.device),
        }
