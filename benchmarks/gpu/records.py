"""What benchmarks/gpu/run.py finds: one record a figure, a file that grows as it goes, and a table."""

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
    """One figure.

    Attributes:
        name: what was measured.
        model: on what.
        value, unit: a median, unless the name says otherwise.
        least, most: what the project asks of it; None where it asks nothing.
        note: what else is to be known.
    """

    name: str
    model: str
    value: float
    unit: str
    least: float | None = None
    most: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """Whether it is what was asked for."""
        if self.least is None and self.most is None:
            return ""
        met = (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)
        bound = f">= {self.least:g}" if self.least is not None else f"<= {self.most:g}"
        return f"{bound} {'met' if met else 'NOT MET'}"


def device_name(device: str) -> str:
    """Of the accelerator, or the processor."""
    return torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()


def write(path: Path, device: str, records: Sequence[Record], failures: Sequence[str]) -> None:
    """Writes the figures found until now, and the parts that failed."""
    about = measured_now(PACKAGES, **({"gpu": device_name(device)} if device == "cuda" else {}))
    lines: list[dict[str, Any]] = [asdict(record) for record in records]
    write_results(path, [*lines, *({"failed": failure} for failure in failures)], ("name", "model", "failed"), about)


def table(records: Sequence[Record]) -> str:
    """The records as text, with what is asked of each and whether it is met."""
    rows = [(each.name, each.model, f"{each.value:.4g}", each.unit, each.verdict, each.note) for each in records]
    widths = [max(len(row[i]) for row in rows) for i in range(5)] if rows else []
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[5]]).rstrip()
        for row in rows
    )
