"""The interface of a base's training objectives."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lorb_adapters.pretraining.corpus.corpus import Corpus
from lorb_adapters.pretraining.encoder_trainer import EncoderTrainer
from lorb_adapters.pretraining.staged_trainer import StagedTrainer


class HeldOutMetrics(Protocol):
    """Figures on held-out sentences."""

    def to_json(self) -> dict[str, dict[str, float]]:
        """The figures for report.json, under one key."""
        ...

    def table(self) -> tuple[str, list[tuple[str, str]]]:
        """A table for report.md: its title, and a row (name, formatted value) for each metric."""
        ...


@dataclass(frozen=True, slots=True)
class TrainedBase:
    """A trained base.

    Attributes:
        model: the encoder and the head that gives rescoring scores.
        measure: computes the figures on held-out sentences, which takes long.
    """

    model: EncoderTrainer
    measure: Callable[[], HeldOutMetrics]


class Objective(Protocol):
    """A training objective and its stages."""

    stage_names: tuple[str, ...]

    def identity(self) -> dict[str, object]:
        """All values that decide the result, apart from base, config and files."""
        ...

    def train(self, trainer: StagedTrainer, corpus: Corpus) -> TrainedBase:
        """Runs the remaining stages, from the trainer's last checkpoint on."""
        ...
