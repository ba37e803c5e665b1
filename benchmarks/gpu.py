"""LoRB on a GPU, in under 8 minutes: right first, then fast. Prints a table, writes benchmarks/results/gpu.json.

    python benchmarks/gpu.py                       everything, on CUDA
    python benchmarks/gpu.py --only light,mixed    some parts
    python benchmarks/gpu.py --device cpu --quick  a tiny model on the processor: that the script works, no figures

Parts: `shipped` and `random` compare scores with float32; `saturation`, `light`, `shapes`, `mixed`, `peft` are the
engine without a server; `grpc` is `lorb-serve` with front processes. BERT-base has random weights of a fixed seed, all
lists are real. MiniLM needs its package; without it BERT-base takes a tokenizer from LORB_BENCHMARK_TOKENIZER (a
folder) and MiniLM's parts are listed as failed. A part that fails leaves the others alone; the status is then 1.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import torch
from gpu_agreement import random_adapters, shipped_adapter
from gpu_records import Record, device_name, table, write
from gpu_setting import FULL, HERE, QUICK, Setting
from gpu_speed import TERA, light_load, matrix_peak, mixed_adapters, peft_padded, saturation, shapes

from models import MINILM

RESULTS = HERE / "results/gpu.json"

Part = Callable[[], Iterator[Record]]


def parts(setting: Setting) -> list[tuple[str, str, Part]]:
    """(part, model, what it measures), in the order in which they run: what matters most comes first."""
    peak = cache(lambda: matrix_peak(setting))

    def peak_record() -> Iterator[Record]:
        yield Record("matrix peak, bfloat16", "", peak() / TERA, "TFLOP/s")

    def over_grpc(name: str) -> Iterator[Record]:
        from gpu_serving import over_grpc as measured  # needs more packages than the rest

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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="a tiny model and little of everything")
    parser.add_argument("--only", default="", help="parts, comma-separated; default: all")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of the figures")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch finds no CUDA device; --device cpu --quick shows whether the script works")
    setting = Setting(args.device, QUICK if args.quick else FULL)
    wanted = set(filter(None, args.only.split(",")))
    listed = parts(setting)
    if unknown := wanted - {part for part, _, _ in listed}:
        parser.error(f"no part is called {', '.join(sorted(unknown))}")
    command = " ".join(["python benchmarks/gpu.py", *sys.argv[1:]])
    records: list[Record] = []
    failures: list[str] = []
    with torch.inference_mode():
        for part, model, measure in listed:
            if wanted and part not in wanted:
                continue
            started = time.perf_counter()
            try:
                for record in measure():
                    records.append(record)
            except (Exception, SystemExit) as error:
                failures.append(f"{part} {model}: {type(error).__name__}: {error}")
            print(f"[{part} {model}] {time.perf_counter() - started:.1f} s", file=sys.stderr, flush=True)
            write(args.results, args.device, command, records, failures)
    print(device_name(args.device))
    print(table(records))
    for failure in failures:
        print(f"failed: {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
