"""Records, results file and table of the GPU benchmark."""

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from results_file import measured_now, write_results

PACKAGES = ("lorb", "torch", "transformers", "peft", "grpcio")


@dataclass(frozen=True, slots=True)
class Record:
    """A figure.

    Attributes:
        name: what was measured.
        model: name of the measured model.
        value, unit: a median unless the name says otherwise.
        minimum, maximum: the project's targets; None: no target.
        note: further information.
    """

    name: str
    model: str
    value: float
    unit: str
    minimum: float | None = None
    maximum: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """The bound and whether it is met; empty without a bound."""
        if self.minimum is None and self.maximum is None:
            return ""
        above = self.minimum is None or self.value >= self.minimum
        met = above and (self.maximum is None or self.value <= self.maximum)
        bound = f">= {self.minimum:g}" if self.minimum is not None else f"<= {self.maximum:g}"
        return f"{bound} {'met' if met else 'NOT MET'}"


def device_name(device: str) -> str:
    """The name of the GPU or the processor."""
    return torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()


def write(path: Path, device: str, records: Sequence[Record], failures: Sequence[str]) -> None:
    """Writes the figures so far, and the parts that failed."""
    about = measured_now(PACKAGES, **({"gpu": device_name(device)} if device == "cuda" else {}))
    lines: list[dict[str, Any]] = [asdict(record) for record in records]
    write_results(path, [*lines, *({"failed": failure} for failure in failures)], ("name", "model", "failed"), about)


def table(records: Sequence[Record]) -> str:
    """The records as text, with bounds and whether they are met."""
    rows = [(each.name, each.model, f"{each.value:.4g}", each.unit, each.verdict, each.note) for each in records]
    widths = [max(len(row[i]) for row in rows) for i in range(5)] if rows else []
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[5]]).rstrip()
        for row in rows
    )
