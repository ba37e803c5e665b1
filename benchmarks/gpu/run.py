"""Measures LoRB on a GPU within 8 minutes: agreement with float32, then speed. Prints a table, writes gpu.jsonl.

    python benchmarks/gpu/run.py                       everything, on CUDA
    python benchmarks/gpu/run.py --only light,mixed    some parts
    python benchmarks/gpu/run.py --device cpu --quick  a tiny model on the processor: a smoke test

Parts: `shipped` and `random` compare scores with float32. `peak`, `light`, `saturation`, `mixed`, `shapes` and `peft`
time the engine without a server. `grpc` times `lorb-serve` with front processes. BERT-base has random weights of a
fixed seed; all lists are real. MiniLM needs its package. Without it, MiniLM's parts fail and BERT-base takes its
tokenizer from the folder LORB_BENCHMARK_TOKENIZER. A part that fails does not stop the others, and no part starts after
--minutes. The exit status is 1 if a part failed or did not start.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "serving"))
import torch

from gpu.agreement import random_adapters, shipped_adapter
from gpu.records import Record, device_name, table, write
from gpu.setting import FULL, QUICK, Setting
from gpu.speed import TERA, light_load, matrix_peak, mixed_adapters, peft_padded, saturation, shapes
from models import MINILM
from results_file import RESULTS

OUTPUT = RESULTS / "gpu.jsonl"

Part = Callable[[], Iterator[Record]]


def parts(setting: Setting) -> list[tuple[str, str, Part]]:
    """(part, model, function) in the order of execution, the most important first."""
    peak = cache(lambda: matrix_peak(setting))

    def peak_record() -> Iterator[Record]:
        yield Record("matrix peak, bfloat16", "", peak() / TERA, "TFLOP/s")

    def over_grpc(name: str) -> Iterator[Record]:
        from gpu.serving import over_grpc as measured  # needs more packages than the rest

        return measured(setting, name)

    first, *others = setting.amount.models
    listed: list[tuple[str, str, Part]] = [
        ("shipped", MINILM, lambda: shipped_adapter(setting)),
        ("random", first, lambda: random_adapters(setting, first)),
        ("peak", "", peak_record),
    ]
    for name in (first, *others):
        listed += [
            ("light", name, lambda name=name: light_load(setting, name)),
            ("saturation", name, lambda name=name: saturation(setting, name, peak())),
        ]
    listed += [
        ("mixed", first, lambda: mixed_adapters(setting, first)),
        ("shapes", first, lambda: shapes(setting, first)),
        ("peft", first, lambda: peft_padded(setting, first)),
    ]
    return [*listed, ("grpc", first, lambda: over_grpc(first))]


def measure(
    listed: Sequence[tuple[str, str, Part]], minutes: float, keep: Callable[[Sequence[Record], Sequence[str]], None]
) -> tuple[list[Record], list[str]]:
    """Runs the parts; returns all records and failures. keep: called with both after each part."""
    records: list[Record] = []
    failures: list[str] = []
    began = time.perf_counter()
    for part, model, figures in listed:
        started = time.perf_counter()
        try:
            if started - began > 60 * minutes:
                raise TimeoutError(f"not started: the limit of {minutes:g} minutes was reached")
            for record in figures():
                records.append(record)  # one by one, so that a failure keeps the records before it
        except (Exception, SystemExit) as error:
            failures.append(f"{part} {model}: {type(error).__name__}: {error}")
        print(f"[{part} {model}] {time.perf_counter() - started:.1f} s", file=sys.stderr, flush=True)
        keep(records, failures)
    return records, failures


def main() -> int:
    args = arguments()
    listed = parts(Setting(args.device, QUICK if args.quick else FULL))
    wanted = set(filter(None, args.only.split(","))) or {part for part, _, _ in listed}
    with torch.inference_mode():
        records, failures = measure(
            [each for each in listed if each[0] in wanted],
            args.minutes,
            lambda records, failures: write(args.results, args.device, records, failures),
        )
    print(device_name(args.device))
    print(table(records))
    for failure in failures:
        print(f"failed: {failure}")
    return 1 if failures or not records else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="a tiny model and short measurements")
    parser.add_argument("--only", default="", help="parts, comma-separated; default: all")
    parser.add_argument("--minutes", type=float, default=7.0, help="start no part after this time")
    parser.add_argument("--results", type=Path, default=OUTPUT, help="file of the figures")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch finds no CUDA device: use --device cpu --quick for a smoke test")
    return args


if __name__ == "__main__":
    sys.exit(main())
