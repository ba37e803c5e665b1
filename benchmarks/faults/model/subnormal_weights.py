"""Adapters whose LoRA matrices are subnormal numbers, beside the same adapter with normal ones, on a running server.

    python benchmarks/faults/model/subnormal_weights.py
    python benchmarks/faults/model/subnormal_weights.py --commands FOLDER --release before

A pass with subnormal weights must take no longer than one with normal weights. How much longer it takes without
flushing depends on the processor: Intel's take a hundred cycles for an operation, AMD's only a few. The model computes
in float32 on one thread. Adds to benchmarks/results/faults_of_issues.jsonl.
"""

import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/faults
from fault_figures import FaultFigure, parse_arguments, report_figures
from many_cold_adapters import DOMAIN, publication
from server_process import STORE, server_process

from lorb import RescoreOptions
from lorb.formats.reading import read_nbest_lists
from lorb_adapters.base.loader import load_base
from lorb_adapters.store.adapter import Adapter
from lorb_adapters.store.store import Store
from lorb_adapters.store.verified_loading import load_adapter
from lorb_client import Client
from results_file import ROOT

# The factors of A and B. The second makes only the product of the two subnormal.
FACTORS = {"normal": (1.0, 1.0), "subnormal-a": (1e-38, 1.0), "subnormal-b": (1.0, 1e-38), "product": (1e-19, 1e-20)}
NUM_LISTS = 40
MAX_RATIO = 1.25


def subnormal(adapter: Adapter, domain: str) -> Adapter:
    """The adapter with its LoRA matrices multiplied by the domain's factors."""
    of_a, of_b = FACTORS[domain]
    lora = {path: (of_a * a, of_b * b) for path, (a, b) in adapter.weights.lora.items()}
    return replace(adapter, weights=replace(adapter.weights, lora=lora))


def pass_times(commands: Path, adapter: Adapter) -> Iterator[FaultFigure]:
    """The median time of a pass with each kind of weights; the kinds take turns."""
    lists = list(read_nbest_lists([ROOT / "tests" / "data" / "librispeech" / "dev.jsonl.gz"]))[:NUM_LISTS]
    with tempfile.TemporaryDirectory() as folder:
        for domain in FACTORS:
            Store(folder).publish(publication(subnormal(adapter, domain), domain, 1.0, ()), set_stable=True)
        flags = ("--store", folder, "--score-cache-bytes", 0, "--dtype", "float32", "--threads", 1)
        seconds: dict[str, list[float]] = {domain: [] for domain in FACTORS}
        with server_process(commands, *flags) as server, Client(server.target, timeout_seconds=30) as client:
            for nbest in lists:
                for domain, times in seconds.items():
                    times.append(client.rescore(nbest, RescoreOptions(domain=domain)).timings.infer_seconds)
    normal = statistics.median(seconds["normal"])
    for domain, times in list(seconds.items())[1:]:
        median = statistics.median(times)
        measured = f"a pass takes {1000 * median:.1f} ms, {median / normal:.2f} times as long as with normal weights"
        yield FaultFigure(f"weights {domain}", measured, median, median <= MAX_RATIO * normal)


def main() -> int:
    """Makes the store and measures the server."""
    args = parse_arguments(__doc__)
    base, store = load_base("rescore-minilm"), Store(str(STORE))
    [version] = store.versions(DOMAIN)
    return report_figures(args.release, pass_times(args.commands, load_adapter(store, DOMAIN, version, base)))


if __name__ == "__main__":
    sys.exit(main())
