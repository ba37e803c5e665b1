"""A cell that trains an adapter on a base made by another cell."""

from dataclasses import dataclass, replace
from typing import Any

from study.harness.cell import CellContext
from study.table6_depth.base_building import BaseBuilding
from study.training.training import Training


@dataclass(frozen=True, slots=True)
class AdapterTraining:
    """Trains an adapter on a base.

    Attributes:
        building: makes the base if it is missing.
        made_by: name of the cell that makes the base.
        training: the training; its `base` is the name shown in records.
    """

    building: BaseBuilding
    made_by: str
    training: Training

    def settings(self) -> dict[str, Any]:
        """The settings that decide the result."""
        return {"on": self.building.settings(), "training": self.training.settings()}

    def command(self) -> str:
        """The command that does the same by hand."""
        return self.training.command()

    def run(self, context: CellContext) -> dict[str, Any]:
        """Runs the cell and returns its figures."""
        base = self.building.folder(replace(context, scratch=context.scratch.parent / self.made_by))
        return replace(self.training, base=str(base)).run(context)
