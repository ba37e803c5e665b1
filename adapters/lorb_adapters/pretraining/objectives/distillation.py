"""A teacher's pseudo-log-likelihoods distilled into one pass: RescoreBERT's L_MD (arXiv 2202.01094).

    cls head:  L_MD = mean over sentences of ((r_i - PLL(E_i)) / u)^2
    sum head:  L_MD = mean over scored tokens of ((z_t - log P_MLM(e_t | E without e_t)) / u)^2;  r_i = sum_t z_t

The closing separator is scored and has the target 0: the sum is PLL. u is the targets' standard deviation. The head is
trained in units of it, about the targets' mean: with a learning rate made for weights of the encoder's size, a bias
would need a hundred thousand steps to a PLL of -60.
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
class TaughtRow:
    """One sentence and what its student is to say.

    Attributes:
        row: its tokens.
        targets: log P of each scored token, 0 for the closing ones; or PLL alone, for a cls head. Natural log.
    """

    row: EncodedHypothesis
    targets: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """What a student's scores are counted in: `mean + deviation * value`, natural log."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, rows: Sequence[TaughtRow]) -> "Unit":
        """By all targets; a deviation of 0 counts as 1."""
        targets = torch.tensor([target for each in rows for target in each.targets], dtype=torch.float64)
        return cls(float(targets.mean()), float(targets.std(correction=0)) or 1.0)


def teach(row: EncodedHypothesis, log_probabilities: Sequence[float], head: str) -> TaughtRow:
    """The row with its targets. log_probabilities: of the text's tokens, without the closing ones."""
    if head == CLS:
        return TaughtRow(row, (sum(log_probabilities),))
    num_closing = row.num_tokens - row.scored_from - len(log_probabilities)
    return TaughtRow(row, (*log_probabilities, *[0.0] * num_closing))


class Student(EncoderTrainer):
    """The encoder that the teacher was, and a score head."""

    name = "student"

    def __init__(self, base: Base, config: BuildConfig, unit: Unit) -> None:
        """Takes `base` over; its head begins at `unit.mean` for everything."""
        self._unit = unit
        super().__init__(base, config)

    @property
    def head(self) -> HeadWeights:
        """The score head as it is now, in nats."""
        made = head_of(self.tensors, self.config.head)
        unit = self._unit
        return HeadWeights(made.kind, made.weight * unit.deviation, made.bias * unit.deviation + unit.mean)

    def loss(self, batch: Sequence[TaughtRow]) -> Tensor:
        """L_MD of rows sorted by length."""
        rows = [each.row for each in batch]
        packed = self._pack(rows)
        read = packed.starts if self.config.head == CLS else packed.scored_positions
        head = self.head
        scores = self._hidden(rows, packed, None)[read].float() @ head.weight + head.bias
        targets = torch.tensor([target for each in batch for target in each.targets], device=scores.device)
        return ((scores - targets) / self._unit.deviation).square().mean()

    @torch.inference_mode()
    def scores_of(self, rows: Sequence[EncodedHypothesis]) -> Tensor:
        """Rescoring scores of rows in any order, [rows] fp32 on the CPU."""
        return self._score(rows)

    def _fresh_head(self) -> dict[str, Tensor]:
        """Zeros: a head that the base carries counts in other units."""
        zeros = HeadWeights.zeros(self.config.head, self.base.hidden_size)
        return {
            HEAD_WEIGHT: zeros.weight.to(self.base.device),
            HEAD_BIAS: zeros.bias.to(self.base.device),
        }
