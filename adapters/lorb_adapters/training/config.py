"""What a training run may be told. Frozen; written into the report."""

from dataclasses import dataclass

from lorb_adapters.head import SUM
from lorb_adapters.lora import LoraConfig
from lorb_adapters.text import TextNormalization


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One run.

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
    lora: LoraConfig = LoraConfig()
    normalization: TextNormalization = TextNormalization()
    uses_context: bool = False
    epochs: int = 3
    max_steps: int | None = None
    lists_per_step: int = 16
    hypotheses_per_list: int = 5
    learning_rate: float = 1e-3
    warmup_fraction: float = 0.1
    weight_decay: float = 0.01
    max_gradient_norm: float = 1.0
    correlation_weight: float = 1e-3
    evaluations_per_epoch: int = 1
    patience: int = 3
    seed: int = 0
