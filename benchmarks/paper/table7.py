"""Table 7: 1, 10 and 100 domains in one process: adapters on one base, or a fine-tuned model for each domain.

    python benchmarks/paper/table7.py [--plan | --write]

Run it with one job on a machine without other load, because it measures times. The adapters are the shipped one and
copies with other weights; a full model is the base with one of them merged into it. Each cell runs in a process of its
own and records the load average.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # serving_process

from study.harness.cell import Cell, Key
from study.harness.command import main
from study.harness.records import Records
from study.harness.sizes import Size
from study.harness.table import Figures, Table, pick
from study.lists.sets import DEV, Lists
from study.table7_domains.hosting import Hosting
from study.table7_domains.page import page
from study.table7_domains.version_swaps import VersionSwaps

NUM_DOMAINS = (1, 10, 100)
RUNS = {1: 3, 10: 3, 100: 1}  # one run of 100 domains has 100 loads, and its memory varies by less than 1%
LISTS = Lists("librispeech", DEV, 100, 5)
_COSTS = {"adapters": 0.1, "full": 0.6, "plain": 0.2}  # per domain


def cells(size: Size, records: Records) -> list[Cell]:
    """Each peer with each number of domains, then the version swaps."""
    del size, records
    hosting = [
        Cell({"of": peer, "domains": count, "run": run}, Hosting(peer, count, LISTS, run), 5 + cost * count)
        for count in NUM_DOMAINS
        for peer, cost in _COSTS.items()
        for run in range(RUNS[count])
    ]
    return [
        *hosting,
        *(Cell({"of": "swap", "domains": count}, VersionSwaps(count), 15 + count / 10) for count in NUM_DOMAINS),
    ]


def kept(key: Key, figures: Figures) -> Figures:
    """The figures that the page needs."""
    if key["of"] == "swap":
        return pick(figures, "swaps", "server_rss_mib.before")
    return pick(
        figures, "memory_bytes", "disk_bytes", "loading.processor_seconds",
        "passes.processor_seconds", "passes.lists", "passes.tokens",
    )  # fmt: skip


TABLE = Table("table7", cells, page, kept)

if __name__ == "__main__":
    raise SystemExit(main(TABLE, description=__doc__))
