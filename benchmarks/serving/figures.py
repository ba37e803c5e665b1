"""The figures of the serving benchmarks: their file, and the table with the targets."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks
from results_file import RESULTS, measured_now, write_results

OUTPUT = RESULTS / "serving.jsonl"
PACKAGES = ("torch", "transformers", "peft", "sentence-transformers", "mosec", "grpcio", "lorb")
HYPOTHESES_PER_SECOND = "hypotheses/s"
LORB = "grpc"  # lorb-serve, called over gRPC

# Systems that are compared in the same round with the same lists and dtype; LoRB is the first.
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


def minimum_ratio(name: str, ratio_to: str, model: str, dtype: str) -> float | None:
    """The minimum ratio that the project sets; None if there is none."""
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
    """A figure.

    Attributes:
        name: name of the system, or of its latency at a load.
        model, dtype: model and dtype of the system.
        value, unit: the median and its unit.
        ratio, ratio_to: the median over rounds of the ratio to another system, and its name; None: no comparison.
        calls: number of calls behind a latency.
    """

    name: str
    model: str
    dtype: str
    value: float
    unit: str
    ratio: float | None = None
    ratio_to: str | None = None
    calls: int | None = None

    @property
    def target(self) -> str:
        """The bound of the ratio; empty if there is none."""
        if self.unit == "s":
            return "<= 1" if self.ratio is not None else ""
        minimum = minimum_ratio(self.name, self.ratio_to or "", self.model, self.dtype)
        return f">= {minimum:g}" if minimum is not None else ""

    @property
    def verdict(self) -> str:
        """Whether the target is met."""
        if not self.target or self.ratio is None:
            return ""
        sign, bound = self.target.split()
        return "met" if (self.ratio <= float(bound) if sign == "<=" else self.ratio >= float(bound)) else "NOT MET"


def throughput_records(model: str, dtype: str, rounds: dict[str, list[float]]) -> list[Record]:
    """The records of all systems, one for each comparison.

    rounds: hypotheses a second in each round, by system.
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


def write(records: Iterable[Record], path: Path = OUTPUT) -> None:
    """Adds `records` to the file; each replaces the same figure of the same processor."""
    write_results(path, map(_rounded, records), ("model", "dtype", "name", "ratio_to"), _measured_now())


def table(records: Sequence[Record]) -> str:
    """The records as text, with targets and whether they are met."""
    rows = [("what", "model", "dtype", "value", "", "ratio", "to", "target", "")]
    for record in records:
        ratio = "" if record.ratio is None else f"{record.ratio:.2f}"
        rows.append(
            (record.name, record.model, record.dtype, f"{record.value:.4g}", record.unit, ratio,
             record.ratio_to or "", record.target, record.verdict)
        )  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    device = _measured_now()["device"]
    return "\n".join([*lines, "", f"{device['cpu']}, {device['cores']} cores; bfloat16 {device['bfloat16']}"])


def _rounded(record: Record) -> dict[str, Any]:
    fields = asdict(record)
    return fields | {key: float(f"{fields[key]:.4g}") for key in ("value", "ratio") if fields[key] is not None}


def _measured_now() -> dict[str, Any]:
    return measured_now(PACKAGES, bfloat16="in hardware" if _has_bfloat16() else "emulated")


def _has_bfloat16() -> bool:
    """Whether the processor multiplies in bfloat16; if not, LoRB and the floor compute in float32."""
    words = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(words)
