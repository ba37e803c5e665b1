"""What a training run may be told. Frozen; written into the report."""

import math
from dataclasses import dataclass, field

from lorb.errors import InvalidInput
from lorb_adapters.head import HEAD_KINDS, SUM
from lorb_adapters.lora import LoraConfig
from lorb_adapters.text import TextNormalization


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One run. Raises InvalidInput, naming the field, where a value cannot work.

    Attributes:
        head: "sum", "mean" or "cls" (lorb_adapters.head).
        lora: rank, alpha and targets.
        normalization: how transcripts are written before the model reads them.
        uses_context: read the preceding turn as a first segment.
        epochs: passes over the training lists.
        max_steps: stop there, whatever the epochs say; None for no bound. The learning rate reaches 0 there.
        lists_per_step: lists in one step of the optimiser.
        hypotheses_per_list: in one step: the first pass's best and others drawn anew every epoch. Half of a ten-best
            list costs half the time; over the epochs all of it is seen.
        uses_references: learn from the reference too, as one more hypothesis without errors that the first pass likes
            as well as its best. Errors that all of a list's hypotheses share have no contrast without it, which
            helped on long read sentences; on short turns of dialogue it drew the gradient away from the hypotheses.
        learning_rate: peak; linear warm-up, then linear to 0.
        warmup_fraction: of all steps.
        weight_decay: AdamW's, on the LoRA matrices and the head.
        max_gradient_norm: clipped above.
        correlation_weight: lambda on the correlation regulariser.
        evaluations_per_epoch: how often dev is scored; the best adapter on dev is kept.
        patience: stop after so many evaluations without a better one; 0 never stops.
        seed: of initial values and of the order of lists.
    """

    head: str = SUM
    lora: LoraConfig = field(default_factory=LoraConfig)
    normalization: TextNormalization = field(default_factory=TextNormalization)
    uses_context: bool = False
    epochs: int = 3
    max_steps: int | None = None
    lists_per_step: int = 16
    hypotheses_per_list: int = 5
    uses_references: bool = False
    learning_rate: float = 1e-3
    warmup_fraction: float = 0.1
    weight_decay: float = 0.01
    max_gradient_norm: float = 1.0
    correlation_weight: float = 1e-3
    evaluations_per_epoch: int = 1
    patience: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.head not in HEAD_KINDS:
            raise InvalidInput(f"head is {self.head!r}: it is one of {', '.join(HEAD_KINDS)}", field="head")
        at_least_one = ("epochs", "lists_per_step", "evaluations_per_epoch")
        for name in at_least_one:
            self._check(name, getattr(self, name) >= 1, "1 or more")
        self._check("rank", self.lora.rank >= 1, "1 or more", value=self.lora.rank)
        self._check("alpha", 0 < self.lora.alpha < math.inf, "a number above 0", value=self.lora.alpha)
        self._check("max_steps", self.max_steps is None or self.max_steps >= 1, "1 or more")
        self._check("hypotheses_per_list", self.hypotheses_per_list >= 2, "2 or more: one alone has no contrast")
        self._check("learning_rate", 0 < self.learning_rate < math.inf, "a number above 0")
        self._check("patience", self.patience >= 0, "0 or more")
        for name in ("correlation_weight", "weight_decay"):
            self._check(name, 0 <= getattr(self, name) < math.inf, "a number, 0 or more")

    def _check(self, name: str, holds: bool, allowed: str, *, value: object = None) -> None:
        if not holds:
            shown = getattr(self, name) if value is None else value
            raise InvalidInput(f"{name.replace('_', '-')} is {shown}: it must be {allowed}", field=name)
