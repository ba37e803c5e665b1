"""Compares two checkouts of this repository on one machine: their servers under the same load.

Both servers run during the whole comparison and are measured in turn, in an order that alternates between rounds. A
figure is the median of its rounds; a ratio is this checkout's figure over the other's in the same round. `--against .`
compares a checkout with itself: the range of the ratios is the noise of the machine.

Nothing is imported from the other checkout, which may be older. Its server is the command `lorb-serve` of its
pyproject.toml, started with its source folders first on PYTHONPATH; this checkout's client calls both servers.
"""

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from checkouts.comparison import Amount, Comparison, compare, table
from checkouts.servers import Checkout, CheckoutServer
from workload import ROOT, Workload

NUM_LISTS = 500


def run(other: Path, amount: Amount) -> list[Comparison]:
    """Compares this checkout with another one."""
    checkouts = {"this": Checkout(ROOT), "other": Checkout(other.resolve())}
    lists = Workload().take(0, NUM_LISTS)
    found: list[Comparison] = []
    for model in amount.models:
        for dtype in amount.dtypes:
            with contextlib.ExitStack() as stack:
                runner = stack.enter_context(asyncio.Runner())
                servers = {
                    name: CheckoutServer(stack.enter_context(checkout.start(model, dtype)), lists, runner)
                    for name, checkout in checkouts.items()
                }
                found += compare(model, dtype, servers, amount, lambda text: print(text, file=sys.stderr, flush=True))
    return found


def main(other: Path, amount: Amount) -> int:
    """Compares, prints a table and JSON."""
    found = run(other, amount)
    print(f"this   {revision(ROOT)}\nother  {revision(other)}")
    print(table(found))
    about = {"this": revision(ROOT), "other": revision(other), "rounds": amount.rounds, "seconds": amount.seconds}
    print(json.dumps({**about, "figures": [_rounded(each) for each in found]}))
    return 0


def _rounded(comparison: Comparison) -> dict[str, object]:
    fields = asdict(comparison)
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in fields.items()}


def revision(folder: Path) -> str:
    """A checkout's folder and commit, with a plus if files have changed."""
    git = shutil.which("git")
    if git is None:
        return str(folder.resolve())
    commit = subprocess.run([git, "-C", folder, "describe", "--always", "--dirty=+"], capture_output=True, text=True)
    return f"{folder.resolve()} {commit.stdout.strip()}".rstrip()
