"""A cell that measures the overlap of updates between seeds of one method."""

from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from study.harness.cell import CellContext
from study.table8_lora_vs_full.comparison import Comparison


@dataclass(frozen=True, slots=True)
class AcrossSeeds:
    """Measures the overlap between the seeds' updates.

    Attributes:
        comparisons: (cell's name, comparison) of each seed; a missing training is repeated.
    """

    comparisons: tuple[tuple[str, Comparison], ...]

    def settings(self) -> dict[str, Any]:
        """The settings that decide the result."""
        return {"seeds_of": [comparison.settings() for _, comparison in self.comparisons]}

    def command(self) -> str:
        """The command that does the same by hand."""
        return " && ".join(comparison.command() for _, comparison in self.comparisons)

    def run(self, context: CellContext) -> dict[str, Any]:
        """Returns the overlaps of all pairs of seeds, for each method."""
        from lorb_adapters.base.loader import load_base
        from study.table8_lora_vs_full.layers import overlap
        from study.table8_lora_vs_full.updates import adapter_updates, differences, linear_weights

        base = load_base(self.comparisons[0][1].lora.base)
        before = linear_weights(base.encoder)
        updates: dict[str, list[Any]] = {"lora": [], "full": []}
        for name, comparison in self.comparisons:
            lora, full = comparison.trained(replace(context, scratch=context.scratch.parent / name))
            updates["lora"].append(adapter_updates(lora.adapter()))
            full.put_into(base.encoder)
            updates["full"].append(differences(linear_weights(base.encoder), before))
        return {
            "overlap": {
                method: [overlap(*pair) for pair in combinations(of_seeds, 2)] for method, of_seeds in updates.items()
            }
        }
