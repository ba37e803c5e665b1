"""How much two seeds of the same method share: what the overlap of LoRA and full fine-tuning is to be read against."""

from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from study.harness.cell import Place
from study.table8_lora_vs_full.comparison import Comparison


@dataclass(frozen=True, slots=True)
class AcrossSeeds:
    """Overlaps between the seeds' updates.

    Attributes:
        comparisons: by the name of the cell that trained it; trained anew where its scratch folder is gone.
    """

    comparisons: tuple[tuple[str, Comparison], ...]

    def settings(self) -> dict[str, Any]:
        """As Work has it."""
        return {"seeds_of": [comparison.settings() for _, comparison in self.comparisons]}

    def command(self) -> str:
        """As Work has it."""
        return " && ".join(comparison.command() for _, comparison in self.comparisons)

    def run(self, place: Place) -> dict[str, Any]:
        """As Work has it: for each method a list of pairs' overlaps by site."""
        from lorb_adapters.base.loader import load_base
        from study.table8_lora_vs_full.layers import overlap
        from study.table8_lora_vs_full.updates import adapter_updates, differences, linear_weights

        base = load_base(self.comparisons[0][1].lora.base)
        before = linear_weights(base.encoder)
        updates: dict[str, list[Any]] = {"lora": [], "full": []}
        for name, comparison in self.comparisons:
            lora, full = comparison.trained(replace(place, scratch=place.scratch.parent / name))
            updates["lora"].append(adapter_updates(lora.adapter()))
            full.put_into(base.encoder)
            updates["full"].append(differences(linear_weights(base.encoder), before))
        return {
            "overlap": {
                method: [overlap(*pair) for pair in combinations(of_seeds, 2)] for method, of_seeds in updates.items()
            }
        }
