"""What an objective gives: a learner with a score head, and how well it has learnt."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lorb_adapters.pretraining.encoder_trainer import EncoderTrainer


class Measurement(Protocol):
    """Figures on held-out sentences."""

    def to_json(self) -> dict[str, dict[str, float]]:
        """The figures by name, under the measurement's own."""
        ...

    def table(self) -> tuple[str, list[tuple[str, str]]]:
        """A title, and the figures as people read them."""
        ...


@dataclass(frozen=True, slots=True)
class TrainedBase:
    """A trained base.

    Attributes:
        learner: whose head gives rescoring scores.
        measure: on sentences held out; takes a while.
    """

    learner: EncoderTrainer
    measure: Callable[[], Measurement]
