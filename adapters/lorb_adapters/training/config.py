"""What a training run may be told. Frozen; written into the report."""

import math
from dataclasses import dataclass, field

from lorb.errors import InvalidInput
from lorb_adapters.lora.head import HEAD_KINDS, SUM
from lorb_adapters.lora.weights import LoraConfig
from lorb_adapters.text import TextNormalization

METHODS = ("lora", "full", "head", "bitfit", "adapter", "prefix")
MWER, MWED, MWER_AND_DISTILLATION = "mwer", "mwed", "mwer+distill"
LOSSES = (MWER, MWED, MWER_AND_DISTILLATION)
ALL_ROWS, ONE_PER_LIST = "all", "one-per-list"
CORRELATION_ROWS = (ALL_ROWS, ONE_PER_LIST)
AUTO, FP32, BF16 = "auto", "fp32", "bf16"
PRECISIONS = (AUTO, FP32, BF16)

# Peak learning rates that suit what a method trains.
LEARNING_RATES = {"lora": 1e-3, "full": 5e-5, "head": 1e-2, "bitfit": 1e-3, "adapter": 1e-3, "prefix": 1e-2}


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One run. Raises InvalidInput, naming the field, where a value cannot work.

    Attributes:
        method: what is trained, of `METHODS`; only "lora" makes an adapter that can be published.
        head: "sum", "mean" or "cls" (lorb_adapters.lora.head); every method trains it.
        lora: rank, alpha, targets and layers. The rank is also the width of method adapter's bottlenecks and the length
            of method prefix's prefixes, and `layers` confines every method but full and head, which have no choice.
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
        loss: "mwer", "mwed", or "mwer+distill": MWER and the distance from a teacher's scores.
        distillation_weight: of the latter term; 1e-4 is RescoreBERT's.
        teacher: name of the component score that the lists' hypotheses carry from the teacher; empty if there is none.
        correlation_weight: lambda on the correlation regulariser.
        correlation_rows: which rows it reads: "all", or "one-per-list": the first pass's best, for the hypotheses of a
            list are near-duplicates.
        dropout: probability, on what LoRA's or the adapter's matrices read and on the features that the head reads.
        r_drop_weight: of the divergence between two passes with dropout (losses.r_drop_loss); doubles a step's time.
        ema_decay: of an exponential moving average of the weights, which is then what is evaluated and kept; 0 is off.
        evaluations_per_epoch: how often dev is scored; the best adapter on dev is kept.
        patience: stop after so many evaluations without a better one; 0 never stops.
        precision: of the products: "fp32", "bf16", or "auto": bf16 where the processor has instructions for it.
        layer_cache: keep the hidden states below the lowest layer that is trained on disk, where there are any.
        uses_switching_margin: tune on dev how far another hypothesis must lead to replace the first pass's best.
        seed: of initial values, of the order of lists and of dropout.
    """

    method: str = "lora"
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
    loss: str = MWER
    distillation_weight: float = 1e-4
    teacher: str = ""
    correlation_weight: float = 1e-4
    correlation_rows: str = ALL_ROWS
    dropout: float = 0.0
    r_drop_weight: float = 0.0
    ema_decay: float = 0.0
    evaluations_per_epoch: int = 1
    patience: int = 3
    precision: str = AUTO
    layer_cache: bool = True
    uses_switching_margin: bool = True
    seed: int = 0

    @property
    def uses_teacher(self) -> bool:
        """Whether the loss has a distillation term."""
        return self.loss == MWER_AND_DISTILLATION

    def __post_init__(self) -> None:
        choices = {
            "method": METHODS, "head": HEAD_KINDS, "loss": LOSSES, "correlation_rows": CORRELATION_ROWS,
            "precision": PRECISIONS,
        }  # fmt: skip
        for name, allowed in choices.items():
            self._check(name, getattr(self, name) in allowed, f"one of {', '.join(allowed)}")
        at_least_one = ("epochs", "lists_per_step", "evaluations_per_epoch")
        for name in at_least_one:
            self._check(name, getattr(self, name) >= 1, "1 or more")
        self._check("rank", self.lora.rank >= 1, "1 or more", value=self.lora.rank)
        self._check("alpha", 0 < self.lora.alpha < math.inf, "a number above 0", value=self.lora.alpha)
        self._check("max_steps", self.max_steps is None or self.max_steps >= 1, "1 or more")
        self._check("hypotheses_per_list", self.hypotheses_per_list >= 2, "2 or more: one alone has no contrast")
        self._check("learning_rate", 0 < self.learning_rate < math.inf, "a number above 0")
        self._check("patience", self.patience >= 0, "0 or more")
        for name in ("correlation_weight", "weight_decay", "distillation_weight", "r_drop_weight"):
            self._check(name, 0 <= getattr(self, name) < math.inf, "a number, 0 or more")
        for name in ("dropout", "ema_decay"):
            self._check(name, 0 <= getattr(self, name) < 1, "a number from 0 to below 1")
        if self.lora.layers is not None and self.method in ("full", "head"):
            raise InvalidInput(
                f"layers is for methods that may leave some as they are: {self.method} may not", field="layers"
            )
        if self.r_drop_weight and not self.dropout:
            raise InvalidInput("r-drop compares two passes with dropout: give dropout too", field="dropout")
        if self.uses_teacher != bool(self.teacher):
            raise InvalidInput(
                f"loss is {self.loss} and teacher is {self.teacher!r}: {MWER_AND_DISTILLATION} needs the name of the "
                "component score that holds the teacher's scores, and the other losses read none",
                field="teacher",
            )

    def _check(self, name: str, holds: bool, allowed: str, *, value: object = None) -> None:
        if not holds:
            shown = getattr(self, name) if value is None else value
            raise InvalidInput(f"{name.replace('_', '-')} is {shown}: it must be {allowed}", field=name)
