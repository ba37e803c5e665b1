"""Writes a generation of 10^400 into the index of a running server's store, then the right one with a promotion.

    python benchmarks/faults/huge_generation.py [--commands FOLDER] [--release NAME]

The server must count the unreadable index as errors, and follow the promotion once the index is right again.
"""

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))  # random adapters
import torch
from fault_figures import FaultFigure, parse_arguments, report_figures
from hostile_manifest import BASE

from lorb_adapters.base.loader import load_base
from lorb_adapters.store.store import Store
from serving_process import serving_process
from support.adapters.publications import make_publication

DOMAIN = "honest"
BROKEN_SECONDS = 2.0
GIVE_UP_SECONDS = 10.0


def main() -> int:
    """Measures, prints and records the figures."""
    args = parse_arguments(__doc__)
    torch.set_num_threads(1)
    base = load_base(BASE)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        store.publish(make_publication(base, DOMAIN, 0, golden_lists=()), set_stable=True)
        command = (str(args.commands / "lorb-serve"),)
        flags = ("--store", folder, "--base", BASE, "--threads", 1, "--poll-seconds", 0.2)
        with serving_process(*flags, command=command) as server:
            index = Path(folder) / "index.json"
            right = index.read_bytes()
            index.write_text(f'{{"schema_version": 1, "generation": {10**400}}}')
            time.sleep(BROKEN_SECONDS)
            errors = server.total("lorb_registry_errors_total")
            index.write_bytes(right)
            version = store.publish(make_publication(base, DOMAIN, 1, golden_lists=()), set_stable=True)
            began = time.monotonic()
            serves = False
            while not serves and time.monotonic() < began + GIVE_UP_SECONDS:
                serves = server.total("lorb_adapter_alias", domain=DOMAIN, alias="stable", version=version) == 1
                time.sleep(0.1)
            seconds = time.monotonic() - began
    followed = f"followed after {seconds:.1f} s" if serves else f"not followed within {GIVE_UP_SECONDS:.0f} s"
    counted = f"{errors:.0f} errors counted in {BROKEN_SECONDS:.0f} s"
    return report_figures(
        args.release,
        [
            FaultFigure("generation of 10^400: registry errors", counted, None, errors > 1),
            FaultFigure("generation of 10^400: later promotion", followed, round(seconds, 1), serves),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
