"""The objective "replaced": one stage, which learns to tell the wrong words of corrupted sentences."""

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from lorb_adapters.base.loader import Base
from lorb_adapters.pretraining.config import BuildConfig
from lorb_adapters.pretraining.corpus.corpus import Corpus
from lorb_adapters.pretraining.corpus.corruption import Corruptor
from lorb_adapters.pretraining.objectives.detection import Detection, Detector, LabelledRow, detection_loss, label
from lorb_adapters.pretraining.staged_trainer import Stage, StagedTrainer
from lorb_adapters.pretraining.trained_base import TrainedBase

_ROWS_PER_PASS = 256


class Replaced:
    """Trains a Detector."""

    stages = ("detection",)

    def __init__(self, base: Base, config: BuildConfig) -> None:
        """Takes `base` over. Raises InvalidInput where it is none that can be trained."""
        self._detector, self._config = Detector(base, config), config

    def identity(self) -> dict[str, object]:
        """What decides the result beside base, config and files: nothing."""
        return {}

    def train(self, course: StagedTrainer, material: Corpus) -> TrainedBase:
        """Goes through the course from where it stands."""
        if course.stage == 0:
            course.train(self._stage(material))
            course.advance(self._detector.tensors)
        else:
            self._detector.restore(course.state.now)
        return TrainedBase(self._detector, lambda: self._measure(material))

    def _stage(self, material: Corpus) -> Stage[LabelledRow]:
        def draw(numbers: Sequence[int], first: int) -> list[LabelledRow]:
            texts = [material.sentences[number] for number in numbers]
            return self._corrupted(material.corruptor, texts, f"{self._config.seed}/train/", first)

        [name] = self.stages
        return Stage(name, self._detector, len(material.sentences), self._config.num_sentences, draw, self._loss)

    @torch.inference_mode()
    def _measure(self, material: Corpus) -> Detection:
        held_out = material.sentences.held_out
        rows = self._corrupted(material.corruptor, held_out, f"{self._config.seed}/held out/")
        parts = [rows[start : start + _ROWS_PER_PASS] for start in range(0, len(rows), _ROWS_PER_PASS)]
        scores = torch.cat([self._detector.token_scores([each.row for each in part]).cpu() for part in parts])
        return Detection.measure(scores, _flags(rows, "wrong"), _flags(rows, "judged"))

    def _loss(self, batch: Sequence[LabelledRow]) -> Tensor:
        scores = self._detector.token_scores([each.row for each in batch])
        return detection_loss(scores, _flags(batch, "wrong").to(scores.device))

    def _corrupted(self, corruptor: Corruptor, texts: Sequence[str], key: str, first: int = 0) -> list[LabelledRow]:
        corrupted = [
            corruptor.corrupt(text.split(), random.Random(f"{key}{place}"))  # noqa: S311 - corruption, not a secret
            for place, text in enumerate(texts, start=first)
        ]
        return label(corrupted, self._detector.base.text_encoder)


def _flags(rows: Sequence[LabelledRow], name: str) -> Tensor:
    return torch.tensor([flag for each in rows for flag in getattr(each, name)])
