"""What the making of a base may be told. Frozen; written into the report."""

import math
from dataclasses import dataclass, field

from lorb.errors import InvalidInput
from lorb_adapters.lora.head import CLS, SUM
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.config import AUTO, PRECISIONS, TrainConfig

REPLACED, PLL = "replaced", "pll"
OBJECTIVES = (REPLACED, PLL)
HEADS = (SUM, CLS)
_FLAGS = {
    "num_sentences": "sentences",
    "num_layers": "layers",
    "num_teacher_sentences": "teacher-sentences",
    "num_distillation_sentences": "distillation-sentences",
}


@dataclass(frozen=True, slots=True)
class BuildConfig:
    """One run. Raises InvalidInput, naming the field, where a value cannot work.

    Attributes:
        objective: "replaced": tell the words of corrupted sentences that are wrong; "pll": learn to fill in masked
            tokens, then distil pseudo-log-likelihoods into the head.
        head: "sum", or, with pll alone, "cls" (lorb_adapters.lora.head).
        normalization: how sentences are written before the model reads them: as the adapters on this base will have it.
        min_words, max_words: sentences outside are left out.
        num_sentences: read in training, with pll in masked-LM training; more than the text has means further passes,
            with other corruptions or masks. 0 with pll alone, on a base with a masked-LM head.
        sentences_per_step: in one step of the optimiser.
        num_layers: of the encoder to keep, the lowest; None for all.
        corrupted_share: of all words, on average; it varies from sentence to sentence from none to twice that.
        confusion_share: of the corruptions, where the recogniser's confusions know one for the place.
        masked_share: of the tokens in masked-LM training.
        num_teacher_sentences: whose pseudo-log-likelihood is computed: one reading a token.
        hypothesis_share: of these, hypotheses of the lists for confusions, where there are so many; the others are
            corrupted sentences of the text.
        num_distillation_sentences: read in distillation; more than the teacher's are further passes.
        freezes_embeddings: leave the embeddings as they are: half of a small encoder's parameters.
        learning_rate: peak; linear warm-up, then linear to 0, in each stage.
        weight_decay: AdamW's.
        precision: of the products: "fp32", "bf16", or "auto": bf16 where the processor has instructions for it.
        seed: of the order of sentences, of their corruptions and masks, and of a fresh masked-LM head.
    """

    objective: str = REPLACED
    head: str = SUM
    normalization: TextNormalization = field(default_factory=TextNormalization)
    min_words: int = 3
    max_words: int = 50
    num_sentences: int = 400_000
    sentences_per_step: int = 64
    num_layers: int | None = None
    corrupted_share: float = 0.125
    confusion_share: float = 0.5
    masked_share: float = 0.15
    num_teacher_sentences: int = 40_000
    hypothesis_share: float = 0.5
    num_distillation_sentences: int = 120_000
    freezes_embeddings: bool = False
    learning_rate: float = 3e-4
    weight_decay: float = 0.01
    precision: str = AUTO
    seed: int = 0

    @property
    def training(self) -> TrainConfig:
        """The same as the trainer's parts read it: all of the encoder, one pass."""
        return TrainConfig(
            method="full",
            head=self.head,
            normalization=self.normalization,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            precision=self.precision,
            seed=self.seed,
        )

    def __post_init__(self) -> None:
        self._check("objective", self.objective in OBJECTIVES, f"one of {', '.join(OBJECTIVES)}")
        heads = HEADS if self.objective == PLL else (SUM,)
        self._check("head", self.head in heads, f"{' or '.join(heads)} with objective {self.objective}")
        for name in ("min_words", "sentences_per_step", "num_teacher_sentences", "num_distillation_sentences"):
            self._check(name, getattr(self, name) >= 1, "1 or more")
        least = 0 if self.objective == PLL else 1
        self._check("num_sentences", self.num_sentences >= least, f"{least} or more")
        self._check("num_layers", self.num_layers is None or self.num_layers >= 1, "1 or more")
        self._check("max_words", self.max_words >= self.min_words, "min-words or more")
        self._check("corrupted_share", 0 < self.corrupted_share <= 0.5, "a number above 0, up to 0.5")
        self._check("confusion_share", 0 <= self.confusion_share <= 1, "a number from 0 to 1")
        self._check("masked_share", 0 < self.masked_share <= 0.5, "a number above 0, up to 0.5")
        self._check("hypothesis_share", 0 <= self.hypothesis_share <= 1, "a number from 0 to 1")
        self._check("learning_rate", 0 < self.learning_rate < math.inf, "a number above 0")
        self._check("weight_decay", 0 <= self.weight_decay < math.inf, "a number, 0 or more")
        self._check("precision", self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}")

    def _check(self, name: str, holds: bool, allowed: str) -> None:
        if not holds:
            flag = _FLAGS.get(name, name.replace("_", "-"))
            raise InvalidInput(f"{flag} is {getattr(self, name)}: it must be {allowed}", field=flag)
