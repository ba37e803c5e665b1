"""The settings of a training run, and checks of the settings."""

import math
from dataclasses import dataclass, field

from lorb.errors import InvalidInput
from lorb_adapters.lora.config import LoraConfig
from lorb_adapters.lora.head import HEAD_KINDS, SUM
from lorb_adapters.text import TextNormalization

METHODS = ("lora", "full", "head", "bitfit", "adapter", "prefix")
MWER, MWED, MWER_AND_DISTILLATION = "mwer", "mwed", "mwer+distill"
LOSSES = (MWER, MWED, MWER_AND_DISTILLATION)
ALL_ROWS, ONE_PER_LIST = "all", "one-per-list"
CORRELATION_ROWS = (ALL_ROWS, ONE_PER_LIST)
AUTO, FP32, BF16 = "auto", "fp32", "bf16"
PRECISIONS = (AUTO, FP32, BF16)

# Default peak learning rates by method.
LEARNING_RATES = {"lora": 1e-3, "full": 5e-5, "head": 1e-2, "bitfit": 1e-3, "adapter": 1e-3, "prefix": 1e-2}


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """The settings of one run. Raises InvalidInput, naming the field, if a value cannot work.

    Attributes:
        method: what is trained, one of `METHODS`; only "lora" makes an adapter that can be published.
        head: how a text's score is computed: the "sum" or the "mean" of its tokens' scores, or "cls": from the first
            token alone. Every method trains the head.
        lora: rank, alpha, target modules and layers of LoRA. Method adapter takes the rank as the width of its
            bottlenecks, and method prefix as the length of its prefixes. Methods lora, bitfit, adapter and prefix train
            only the layers in `lora.layers`; None: all layers.
        normalization: normalisation of transcripts, before the model reads them.
        uses_context: whether the model reads the preceding turn as a first segment.
        epochs: number of passes over the train lists.
        max_steps: maximum number of steps; None: no limit. The learning rate decays until the last step.
        lists_per_step: number of lists in one optimiser step.
        hypotheses_per_list: number of hypotheses of each list in one step: the first pass's best, and others that every
            epoch draws anew. With five of ten hypotheses a step takes half the time, and each epoch sees other ones.
        uses_references: whether each reference is trained on as one more hypothesis. It has no word errors, and it gets
            the first-pass score or rank of the first pass's best. Without the reference, errors that all hypotheses of
            a list share give no gradient. References helped on long read sentences, but not on short dialogue turns.
        learning_rate: peak learning rate; a linear warm-up leads to it, and a linear decay to 0 follows.
        warmup_fraction: fraction of the steps in which the learning rate rises.
        weight_decay: weight decay of AdamW, on all trained parameters but biases and LayerNorms; the head's bias is
            decayed.
        max_gradient_norm: gradients with a larger norm are scaled down to it.
        loss: "mwer", "mwed", or "mwer+distill": MWER plus the mean squared distance from a teacher's scores.
        distillation_weight: weight of the distance from the teacher's scores; RescoreBERT uses 1e-4.
        teacher: name of the component score that holds the teacher's scores; empty without a teacher.
        correlation_weight: weight (lambda) of the correlation penalty.
        correlation_rows: hypotheses from which the correlation penalty is computed: "all", or "one-per-list": only the
            first pass's best of each list, because the hypotheses of a list are near-duplicates.
        dropout: dropout probability, on the input of the head and of each LoRA module or bottleneck.
        r_drop_weight: weight of the divergence between two forward passes with different dropout; above 0, a step takes
            twice as long.
        ema_decay: decay of a moving average of the parameters. If it is above 0, this average is evaluated and
            published, and not the parameters of the last step. 0: no average.
        evaluations_per_epoch: evaluations on dev in each epoch; the parameters that did best on dev are kept.
        patience: evaluations without improvement after which training stops; 0: never stop early.
        precision: precision of matrix products: "fp32", "bf16", or "auto": bf16 if the processor has instructions for
            it, else fp32.
        layer_cache: whether the hidden states below the first trained layer are cached on disk.
        uses_switching_margin: whether the switching margin is tuned on dev; otherwise it is 0. The margin is the lead
            that a hypothesis needs to replace the first pass's best.
        seed: seed of initial values, the order of lists, the choice of hypotheses, and dropout.
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
        self._check("hypotheses_per_list", self.hypotheses_per_list >= 2, "2 or more, or there is no gradient")
        self._check("learning_rate", 0 < self.learning_rate < math.inf, "a number above 0")
        self._check("patience", self.patience >= 0, "0 or more")
        for name in ("correlation_weight", "weight_decay", "distillation_weight", "r_drop_weight"):
            self._check(name, 0 <= getattr(self, name) < math.inf, "a number, 0 or more")
        for name in ("dropout", "ema_decay"):
            self._check(name, 0 <= getattr(self, name) < 1, "a number from 0 to below 1")
        if self.lora.layers is not None and self.method in ("full", "head"):
            raise InvalidInput(
                f"layers is for methods that can train only some layers: method {self.method} cannot", field="layers"
            )
        if self.r_drop_weight and not self.dropout:
            raise InvalidInput("r-drop compares two passes with different dropout: give dropout too", field="dropout")
        if self.uses_teacher != bool(self.teacher):
            raise InvalidInput(
                f"loss is {self.loss} and teacher is {self.teacher!r}: {MWER_AND_DISTILLATION} needs the name of the "
                "component score that holds the teacher's scores, and the other losses need no teacher",
                field="teacher",
            )

    def _check(self, name: str, holds: bool, allowed: str, *, value: object = None) -> None:
        if not holds:
            shown = getattr(self, name) if value is None else value
            raise InvalidInput(f"{name.replace('_', '-')} is {shown}: it must be {allowed}", field=name)
