"""Reads and writes the benchmarks' JSON-lines results, which keep the latest line of each figure and device."""

import json
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PACKAGES = ("lorb", "torch", "transformers", "grpcio")

Line = Mapping[str, Any]


def write_results(path: Path, lines: Iterable[Line], identity: Sequence[str], about: Line | None = None) -> None:
    """Adds lines to a results file, each with date, command, device and versions. Replaces the file atomically.

    A new line replaces old ones with equal values in the fields of `identity` and the same or an unknown device.

    Args:
        path: the file; it need not exist.
        lines: figures with the fields of `identity`.
        identity: names of the fields that identify a figure.
        about: date, command, device and versions; None: `measured_now()`.
    """
    about = measured_now() if about is None else about
    new = [_without_empty_fields({**line, **about}) for line in lines]
    replaced = {_identity(line, identity): line for line in new}
    kept = [
        line
        for line in read_results(path)
        if _identity(line, identity) not in replaced or _device(line) not in (None, _device(about))
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    ordered = sorted([*kept, *new], key=lambda line: [str(line.get(name, "")) for name in identity])
    partial.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in ordered), encoding="utf-8")
    partial.replace(path)
    print(f"wrote {path}", file=sys.stderr)


def read_results(path: Path) -> list[dict[str, Any]]:
    """The lines of a results file; empty if the file does not exist."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def measured_now(packages: Sequence[str] = PACKAGES, **device: object) -> dict[str, Any]:
    """Date, command, device and versions of this process. device: further fields of the device."""
    script = Path(sys.argv[0]).resolve()
    shown = script.relative_to(ROOT) if script.is_relative_to(ROOT) else script
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "command": shlex.join(["python", str(shown), *sys.argv[1:]]),
        "device": {"cpu": processor(), "cores": os.cpu_count(), **device},
        "versions": {"python": platform.python_version(), **versions(packages)},
    }


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """The versions of the installed ones among `packages`, by name."""
    found = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def processor() -> str:
    """The processor's model name on Linux; elsewhere the machine type, such as "arm64"."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _identity(line: Line, names: Sequence[str]) -> str:
    return json.dumps([line.get(name) for name in names])


def _device(line: Line) -> str | None:
    device = line.get("device") or {}
    found: str | None = device.get("gpu") or device.get("cpu")
    return found


def _without_empty_fields(line: Line) -> dict[str, Any]:
    return {name: value for name, value in line.items() if value not in (None, "")}
