"""What benchmarks/gpu.py finds: one record a figure, a file that grows as it goes, and a table."""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PACKAGES = ("torch", "transformers", "peft", "grpcio")


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


def write(path: Path, device: str, command: str, records: Sequence[Record], failures: Sequence[str]) -> None:
    """Everything found so far."""
    content = {
        "date": datetime.now(UTC).date().isoformat(),
        "device": device_name(device),
        "command": command,
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "records": [_without_nothing(asdict(record)) for record in records],
        "failures": list(failures),
    }
    path.write_text(json.dumps(content, indent=1) + "\n")


def table(records: Sequence[Record]) -> str:
    """The records as text, with what is asked of each and whether it is met."""
    rows = [(each.name, each.model, f"{each.value:.4g}", each.unit, each.verdict, each.note) for each in records]
    widths = [max(len(row[i]) for row in rows) for i in range(5)] if rows else []
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[5]]).rstrip()
        for row in rows
    )


def _without_nothing(fields: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value not in (None, "")}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
