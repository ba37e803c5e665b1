"""Trains the objective "replaced": detection of wrong words in corrupted sentences, in one stage."""

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from lorb_adapters.base.loader import Base
from lorb_adapters.pretraining.config import BuildConfig
from lorb_adapters.pretraining.corpus.corpus import Corpus
from lorb_adapters.pretraining.corpus.corruption import Corruptor
from lorb_adapters.pretraining.objectives.detection import (
    DetectionExample,
    DetectionMetrics,
    Detector,
    detection_examples,
    detection_loss,
)
from lorb_adapters.pretraining.objectives.objective import TrainedBase
from lorb_adapters.pretraining.staged_trainer import Stage, StagedTrainer

_ROWS_PER_PASS = 256


class ReplacedTokens:
    """Trains a Detector."""

    stage_names: tuple[str, ...] = ("detection",)

    def __init__(self, base: Base, config: BuildConfig) -> None:
        """Trains `base` in place. Raises InvalidInput if its encoder cannot be trained."""
        self._detector, self._config = Detector(base, config), config

    def identity(self) -> dict[str, object]:
        """Empty: base, config and files alone decide the result."""
        return {}

    def train(self, trainer: StagedTrainer, corpus: Corpus) -> TrainedBase:
        """Trains the detector, from the trainer's last checkpoint on."""
        if trainer.stage_number == 0:
            trainer.train(self._stage(corpus))
            trainer.end_stage(self._detector.tensors)
        else:
            self._detector.restore(trainer.state.tensors)
        return TrainedBase(self._detector, lambda: self._measure(corpus))

    def _stage(self, corpus: Corpus) -> Stage[DetectionExample]:
        def draw(numbers: Sequence[int], first: int) -> list[DetectionExample]:
            texts = [corpus.sentences[number] for number in numbers]
            return self._corrupted(corpus.corruptor, texts, f"{self._config.seed}/train/", first)

        [name] = self.stage_names
        return Stage(name, self._detector, len(corpus.sentences), self._config.num_sentences, draw, self._loss)

    @torch.inference_mode()
    def _measure(self, corpus: Corpus) -> DetectionMetrics:
        examples = self._corrupted(corpus.corruptor, corpus.sentences.held_out, f"{self._config.seed}/held out/")
        parts = [examples[start : start + _ROWS_PER_PASS] for start in range(0, len(examples), _ROWS_PER_PASS)]
        scores = torch.cat([self._detector.token_scores([each.encoded for each in part]).cpu() for part in parts])
        word_starts = torch.tensor([start for each in examples for start in each.word_starts])
        return DetectionMetrics.measure(scores, _wrong(examples), word_starts)

    def _loss(self, batch: Sequence[DetectionExample]) -> Tensor:
        scores = self._detector.token_scores([each.encoded for each in batch])
        return detection_loss(scores, _wrong(batch).to(scores.device))

    def _corrupted(
        self, corruptor: Corruptor, texts: Sequence[str], seed_prefix: str, first: int = 0
    ) -> list[DetectionExample]:
        """Examples made from corrupted texts; a text's seed is `seed_prefix` and its position, counted from `first`."""
        corrupted = [
            corruptor.corrupt(text.split(), random.Random(f"{seed_prefix}{position}"))  # noqa: S311 - no secret
            for position, text in enumerate(texts, start=first)
        ]
        return detection_examples(corrupted, self._detector.base.text_encoder)


def _wrong(examples: Sequence[DetectionExample]) -> Tensor:
    """The labels of all scored tokens, [tokens] bool."""
    return torch.tensor([wrong for each in examples for wrong in each.wrong])
