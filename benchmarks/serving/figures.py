"""The figures: one record each, kept in benchmarks/results/serving.json, and the table with the targets."""

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from workload import ROOT

RESULTS = ROOT / "benchmarks/results/serving.json"
PACKAGES = ("torch", "transformers", "peft", "sentence-transformers", "mosec", "grpcio", "lorb")
HYPOTHESES_PER_SECOND = "hypotheses/s"
LORB = "grpc"  # lorb-serve, called over gRPC

# What is measured against what. Same round, same lists, same dtype; LoRB is the first.
COMPARISONS = (
    ("engine", "floor"),
    ("engine_8192", "floor_8192"),
    ("mix_32", "mix_1"),
    (LORB, "engine"),
    ("engine", "peft_padded"),
    ("engine", "peft_sorted"),
    ("engine_pairs", "cross_encoder"),
    ("engine_pairs_auto", "cross_encoder"),
    (LORB, "plain_grpc"),
    (LORB, "mosec"),
)


def least_ratio(name: str, ratio_to: str, model: str, dtype: str) -> float | None:
    """The least ratio that the project set itself; None where it set none."""
    exact, small = dtype == "float32", model == "minilm"
    return {
        ("engine", "floor"): 0.85 if exact else 0.7,
        ("engine_8192", "floor_8192"): 0.85 if exact else 0.7,
        ("mix_32", "mix_1"): 0.9,
        (LORB, "engine"): 0.8 if small else 0.9,
        ("engine", "peft_padded"): 3.0 if small else 1.8 if exact else 1.5,
        ("engine_pairs", "cross_encoder"): 1.0,
        ("engine_pairs_auto", "cross_encoder"): 1.5,
        (LORB, "plain_grpc"): 3.0,
        (LORB, "mosec"): 1.0,
    }.get((name, ratio_to))


@dataclass(frozen=True, slots=True)
class Record:
    """One figure.

    Attributes:
        name: of the contestant, or of its latency at a load.
        model, dtype: what was run.
        value, unit: a median.
        ratio, ratio_to: the median of the rounds' ratios to another contestant in the same round, or None.
        calls: of a latency's open loop.
        date, command, device, versions: when, how and on what it was measured; empty until it is written.
    """

    name: str
    model: str
    dtype: str
    value: float
    unit: str
    ratio: float | None = None
    ratio_to: str | None = None
    calls: int | None = None
    date: str = ""
    command: str = ""
    device: Mapping[str, object] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, ...]:
        """What a later run replaces."""
        return (self.name, self.model, self.dtype, self.ratio_to or "")

    @property
    def target(self) -> str:
        """What the ratio is to be; empty where nothing was set."""
        if self.unit == "s":
            return "<= 1" if self.ratio is not None else ""
        least = least_ratio(self.name, self.ratio_to or "", self.model, self.dtype)
        return f">= {least:g}" if least is not None else ""

    @property
    def verdict(self) -> str:
        """Whether the target is met."""
        if not self.target or self.ratio is None:
            return ""
        sign, bound = self.target.split()
        return "met" if (self.ratio <= float(bound) if sign == "<=" else self.ratio >= float(bound)) else "NOT MET"


def throughput_records(model: str, dtype: str, rounds: dict[str, list[float]]) -> list[Record]:
    """Each contestant's record against each other that it is measured against, or one alone.

    rounds: hypotheses a second in every round, by contestant; the n-th rounds of all belong together.
    """
    records = []
    for name, values in rounds.items():
        others = [other for of, other in COMPARISONS if of == name and other in rounds]
        if not others:
            records.append(Record(name, model, dtype, median(values), HYPOTHESES_PER_SECOND))
        for other in others:
            ratio = median(a / b for a, b in zip(values, rounds[other], strict=True))
            records.append(Record(name, model, dtype, median(values), HYPOTHESES_PER_SECOND, ratio, other))
    return records


def write(records: Iterable[Record], command: str, path: Path = RESULTS) -> None:
    """Adds `records` to the file; a record of the same figure gives way, others stay with what they were made on."""
    kept = json.loads(path.read_text())["records"] if path.is_file() else []
    date = datetime.now(UTC).date().isoformat()
    made_on = {"device": _device(), "versions": {"python": platform.python_version()} | _versions()}
    measured = [replace(record, date=date, command=command, **made_on) for record in records]
    by_key = {record.key: record for record in (*(Record(**fields) for fields in kept), *measured)}
    content = {"records": [_rounded(by_key[key]) for key in sorted(by_key, key=lambda key: (key[1], key[2]))]}
    path.write_text(json.dumps(content, indent=1) + "\n")


def table(records: Sequence[Record]) -> str:
    """The records as text, with each ratio's target and whether it is met."""
    rows = [("what", "model", "dtype", "value", "", "ratio", "to", "target", "")]
    for record in records:
        ratio = "" if record.ratio is None else f"{record.ratio:.2f}"
        rows.append(
            (record.name, record.model, record.dtype, f"{record.value:.4g}", record.unit, ratio,
             record.ratio_to or "", record.target, record.verdict)
        )  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    device = _device()
    return "\n".join([*lines, "", f"{device['cpu']}, {device['cores']} cores; {device['bfloat16']}"])


def _rounded(record: Record) -> dict[str, Any]:
    fields = asdict(record)
    return fields | {key: float(f"{fields[key]:.4g}") for key in ("value", "ratio") if fields[key] is not None}


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _device() -> dict[str, object]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    by_name = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    has_bfloat16 = not {"avx512_bf16", "amx_bf16"}.isdisjoint(by_name.get("flags", "").split())
    return {
        "cpu": by_name.get("model name", platform.processor()),
        "cores": os.cpu_count(),
        "bfloat16": "bfloat16 in hardware"
        if has_bfloat16
        else "bfloat16 is emulated on this CPU: there LoRB and the floor compute in float32",
    }
