"""What the making of a base may be told. Frozen; written into the report."""

import math
from dataclasses import dataclass, field

from lorb.errors import InvalidInput
from lorb_adapters.head import SUM
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.config import AUTO, PRECISIONS, TrainConfig


@dataclass(frozen=True, slots=True)
class BuildConfig:
    """One run. Raises InvalidInput, naming the field, where a value cannot work.

    Attributes:
        normalization: how sentences are written before the model reads them: as the adapters on this base will have it.
        min_words, max_words: sentences outside are left out.
        num_sentences: read in training; more than the text has means further passes, with other corruptions.
        sentences_per_step: in one step of the optimiser.
        num_layers: of the encoder to keep, the lowest; None for all.
        corrupted_share: of all words, on average; it varies from sentence to sentence from none to twice that.
        confusion_share: of the corruptions, where the recogniser's confusions know one for the place.
        freezes_embeddings: leave the embeddings as they are: half of a small encoder's parameters.
        learning_rate: peak; linear warm-up, then linear to 0.
        weight_decay: AdamW's.
        precision: of the products: "fp32", "bf16", or "auto": bf16 where the processor has instructions for it.
        seed: of the order of sentences and of their corruptions.
    """

    normalization: TextNormalization = field(default_factory=TextNormalization)
    min_words: int = 3
    max_words: int = 50
    num_sentences: int = 400_000
    sentences_per_step: int = 64
    num_layers: int | None = None
    corrupted_share: float = 0.125
    confusion_share: float = 0.5
    freezes_embeddings: bool = False
    learning_rate: float = 3e-4
    weight_decay: float = 0.01
    precision: str = AUTO
    seed: int = 0

    @property
    def num_steps(self) -> int:
        """Steps of the optimiser; the last one may have fewer sentences."""
        return -(-self.num_sentences // self.sentences_per_step)

    @property
    def training(self) -> TrainConfig:
        """The same as the trainer's parts read it: all of the encoder, a sum head, one pass."""
        return TrainConfig(
            method="full",
            head=SUM,
            normalization=self.normalization,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            precision=self.precision,
            seed=self.seed,
        )

    def __post_init__(self) -> None:
        for name in ("min_words", "num_sentences", "sentences_per_step"):
            self._check(name, getattr(self, name) >= 1, "1 or more")
        self._check("num_layers", self.num_layers is None or self.num_layers >= 1, "1 or more")
        self._check("max_words", self.max_words >= self.min_words, "min-words or more")
        self._check("corrupted_share", 0 < self.corrupted_share <= 0.5, "a number above 0, up to 0.5")
        self._check("confusion_share", 0 <= self.confusion_share <= 1, "a number from 0 to 1")
        self._check("learning_rate", 0 < self.learning_rate < math.inf, "a number above 0")
        self._check("weight_decay", 0 <= self.weight_decay < math.inf, "a number, 0 or more")
        self._check("precision", self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}")

    def _check(self, name: str, holds: bool, allowed: str) -> None:
        if not holds:
            flag = {"num_sentences": "sentences", "num_layers": "layers"}.get(name, name.replace("_", "-"))
            raise InvalidInput(f"{flag} is {getattr(self, name)}: it must be {allowed}", field=flag)
