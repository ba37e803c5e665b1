"""A cell that times a base with one adapter: on one list at a time, and on a large batch."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

from study.harness.cell import CellContext
from study.lists.sets import Lists
from study.table6_depth.base_building import BaseBuilding

MAX_TOKENS = 8192  # in the large batch
_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class InferenceSpeed:
    """Times LoRB's engine in fp32 and bf16 with a new adapter, whose weights do not matter for time.

    Attributes:
        building, made_by: the base, and the name of the cell that makes it.
        lists: ten-best lists to score.
    """

    building: BaseBuilding
    made_by: str
    lists: Lists

    def settings(self) -> dict[str, Any]:
        """The settings that decide the result."""
        return {"speed_of": self.building.settings(), "lists": asdict(self.lists), "rounds": _ROUNDS}

    def command(self) -> str:
        """The command that does the same by hand."""
        return f"python benchmarks/paper/table6.py --only speed-layers{self.building.num_layers}"

    def run(self, context: CellContext) -> dict[str, Any]:
        """Returns milliseconds per list and tokens per second by dtype.

        Times are processor time, on a GPU wall-clock time.
        """
        import torch

        from lorb_adapters.process_memory import keep_freed_pages

        keep_freed_pages()
        folder = str(self.building.folder(replace(context, scratch=context.scratch.parent / self.made_by)))
        dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16}
        return {name: self._speed(folder, dtype, context) for name, dtype in dtypes.items()}

    def _speed(self, folder: str, dtype: Any, context: CellContext) -> dict[str, Any]:
        import torch

        from lorb.formats import read_nbest_lists
        from lorb_adapters.base.loader import load_base
        from lorb_adapters.lora.config import LoraConfig
        from lorb_adapters.lora.head import HeadWeights
        from lorb_adapters.lora.weights import initial_weights
        from lorb_adapters.model import RescoringModel
        from lorb_adapters.text import TextNormalization

        base = load_base(folder, device=context.device, dtype=dtype)
        head = HeadWeights.zeros("sum", base.hidden_size)
        adapter = initial_weights(base.encoder, LoraConfig(), head, torch.Generator()).to(base.device, dtype)
        model = RescoringModel(base)
        lists = [
            base.text_encoder.encode([each.transcript for each in nbest.distinct()], "", TextNormalization(), False)
            for nbest in read_nbest_lists([self.lists.path(context.sets)])
        ]
        together = [row for rows in lists for row in rows]
        num_tokens, taken = 0, []
        for row in together:
            if num_tokens + row.num_tokens > MAX_TOKENS:
                break
            num_tokens += row.num_tokens
            taken.append(row)
        clock = time.process_time if context.device == "cpu" else time.perf_counter
        by_list = [
            median(_seconds(lambda rows=rows: model.score(rows, [adapter], [0] * len(rows)), clock))  # type: ignore[misc]
            for rows in lists
        ]
        large = _seconds(lambda: model.score(taken, [adapter], [0] * len(taken)), clock)
        return {
            "lists": len(lists),
            "rows_a_list": round(len(together) / len(lists), 2),
            "tokens_a_list": round(sum(row.num_tokens for row in together) / len(lists), 1),
            "list_ms": round(1000 * median(by_list), 3),
            "list_ms_90th": round(1000 * sorted(by_list)[9 * len(by_list) // 10], 3),
            "tokens_per_second": round(num_tokens / median(large), 0),
        }


def _seconds(function: Callable[[], object], clock: Callable[[], float]) -> list[float]:
    """Seconds of each of _ROUNDS calls, after a warm-up call."""
    function()
    seconds = []
    for _ in range(_ROUNDS):
        began = clock()
        function()
        seconds.append(clock() - began)
    return seconds
