"""An adapter on a base that another cell made."""

from dataclasses import dataclass, replace
from typing import Any

from study.harness.cell import Place
from study.table6_depth.base_building import Building
from study.training.training import Training


@dataclass(frozen=True, slots=True)
class Adapting:
    """A run of the trainer.

    Attributes:
        building: makes the base, where it is not there.
        made_by: the name of the cell that does.
        training: on it; `training.base` is how records call it.
    """

    building: Building
    made_by: str
    training: Training

    def settings(self) -> dict[str, Any]:
        """As Work has it."""
        return {"on": self.building.settings(), "training": self.training.settings()}

    def command(self) -> str:
        """As Work has it."""
        return self.training.command()

    def run(self, place: Place) -> dict[str, Any]:
        """As Work has it."""
        base = self.building.folder(replace(place, scratch=place.scratch.parent / self.made_by))
        return replace(self.training, base=str(base)).run(place)
