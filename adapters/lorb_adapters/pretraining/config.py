"""The settings of lorb-build-base."""

import math
from dataclasses import dataclass, field

from lorb.errors import InvalidInput
from lorb_adapters.lora.head import CLS, SUM
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.config import AUTO, PRECISIONS, TrainConfig

REPLACED, PLL = "replaced", "pll"
OBJECTIVES = (REPLACED, PLL)
HEADS = (SUM, CLS)
# Flags that are not named like their fields.
_FLAGS = {
    "num_sentences": "sentences",
    "num_layers": "layers",
    "num_teacher_sentences": "teacher-sentences",
    "num_distillation_sentences": "distillation-sentences",
}


@dataclass(frozen=True, slots=True)
class BuildConfig:
    """The settings of one run. Raises InvalidInput, naming the field, if a value is not allowed.

    Attributes:
        objective: "replaced" trains the detection of wrong words in corrupted sentences; "pll" trains a masked LM, and
            distils its pseudo-log-likelihoods into the head.
        head: kind of score head: "sum" sums scores over tokens; "cls", for pll only, scores the first token.
        normalization: normalisation of sentences before encoding. Adapters for this base should use the same one.
        min_words, max_words: sentences with fewer or more words are left out.
        num_sentences: sentences to read in the training of "replaced", or in masked-LM training of "pll". A shorter
            text is read again with other corruptions or masks. 0 is allowed for pll on a base with a masked-LM head.
        sentences_per_step: sentences in one optimiser step.
        num_layers: keeps only the lowest layers of the encoder; None keeps all.
        corrupted_share: mean share of corrupted words; each sentence's share is drawn from 0 to twice this mean.
        confusion_share: share of corruptions drawn from the recogniser's confusions, for words with a known confusion.
        masked_share: share of tokens to predict in masked-LM training.
        num_teacher_sentences: sentences whose pseudo-log-likelihood is computed. A sentence of n tokens is read
            n times.
        hypothesis_share: share of the teacher's sentences that are hypotheses from the lists, if there are enough;
            the others are corrupted sentences of the text.
        num_distillation_sentences: sentences to read in distillation; the teacher's sentences are repeated if needed.
        freezes_embeddings: whether the embeddings, half of a small encoder's parameters, stay untrained.
        learning_rate: peak rate of each stage, after a linear warm-up and before a linear decay to 0.
        weight_decay: weight decay of AdamW, on all parameters but biases and LayerNorms.
        precision: precision of matrix products: "fp32", "bf16", or "auto", which is bf16 if the processor supports it.
        seed: seed of the order of sentences, corruptions, masks, and the initial values of a new masked-LM head.
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
        """The settings as a TrainConfig with method "full", for code shared with lorb-train-adapter."""
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
        minimum = 0 if self.objective == PLL else 1
        self._check("num_sentences", self.num_sentences >= minimum, f"{minimum} or more")
        self._check("num_layers", self.num_layers is None or self.num_layers >= 1, "1 or more")
        self._check("max_words", self.max_words >= self.min_words, "min-words or more")
        self._check("corrupted_share", 0 < self.corrupted_share <= 0.5, "a number above 0, up to 0.5")
        self._check("confusion_share", 0 <= self.confusion_share <= 1, "a number from 0 to 1")
        self._check("masked_share", 0 < self.masked_share <= 0.5, "a number above 0, up to 0.5")
        self._check("hypothesis_share", 0 <= self.hypothesis_share <= 1, "a number from 0 to 1")
        self._check("learning_rate", 0 < self.learning_rate < math.inf, "a number above 0")
        self._check("weight_decay", 0 <= self.weight_decay < math.inf, "a number, 0 or more")
        self._check("precision", self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}")

    def _check(self, name: str, is_allowed: bool, allowed: str) -> None:
        if not is_allowed:
            flag = _FLAGS.get(name, name.replace("_", "-"))
            raise InvalidInput(f"{flag} is {getattr(self, name)}: it must be {allowed}", field=flag)
