"""Table 2: LoRA's rank and the layers that it adapts.

    python benchmarks/paper/table2.py [--plan | --write] [--size small|full] [...]

LoRB with the learning rate that Table 1 chose, alpha twice the rank. "upper half" adapts every linear layer of layers 3
to 5 of six (numbered from 0), "upper third" of layers 4 and 5. The output of the layers below is computed once and kept
on disk, which the minutes include.
"""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import fmean

from study.harness.cell import Cell, Key
from study.harness.command import main
from study.harness.records import Record, Records
from study.harness.sizes import Size
from study.harness.table import Figures, Table, pick
from study.pages.markdown import grid
from study.pages.markdown import page as whole_page
from study.pages.rows import change, change_text, count, matching, wer
from study.training.learning_rates import lorb_rate
from study.training.methods import LORB
from study.training.sized_runs import cost_of, training

RANKS = (4, 8, 16, 32)
_DEFAULT = ("all", 8)
TARGETS = {
    "qv": ("--targets", "query", "value"),
    "qkv": ("--targets", "query", "key", "value"),
    "all": (),
    "upper": ("--layers", "3-5"),
    "top": ("--layers", "4-5"),
}
TITLES = {"qv": "Q, V", "qkv": "Q, K, V", "all": "all linear layers", "upper": "upper half", "top": "upper third"}
_SMALL_DOMAINS = ("hp_atis",)
_WORDS = """LoRB, the learning rate that Table 1 chose for rank 8 on all linear layers. WER in per cent, mean over seeds
with Student's interval. Change: paired difference from rank 8 on all linear layers, negative is better; the interval is
over lists and seeds. Tokens per second and minutes are processor time of one core."""


def cells(size: Size, records: Records) -> list[Cell]:
    """The cells of each domain, by seed: those of seed 0 already fill the table."""
    made = []
    for domain in size.domains_or(_SMALL_DOMAINS):
        rate = lorb_rate(records, size, domain)
        for seed, rank, targets in product(range(size.seeds if rate else 0), RANKS, TARGETS):
            is_default = (targets, rank) == _DEFAULT
            flags = LORB.flags(size) if is_default else (*LORB.flags(size), "--rank", str(rank), *TARGETS[targets])
            work = training(size, domain, flags, seed=seed, rate=rate or 0.0, elsewhere=is_default)
            key = {"domain": domain, "targets": targets, "rank": rank, "seed": seed}
            made.append(Cell(key, work, cost_of(size, domain)))
    return made


def page(size: Size, records: Records) -> str:
    """Makes the page, a section for each domain."""
    done, results = list(records.all()), records.results
    parts = [_domain(matching(done, domain=domain), domain, results) for domain in size.domains_or(_SMALL_DOMAINS)]
    return whole_page("Table 2: rank and targets", size, done, _WORDS, *parts)


def _domain(records: Sequence[Record], domain: str, results: Path) -> str:
    reference = matching(records, targets=_DEFAULT[0], rank=_DEFAULT[1])
    lines = []
    for targets, rank in product(TARGETS, RANKS):
        some = matching(records, targets=targets, rank=rank)
        if some:
            compared = None if (targets, rank) == _DEFAULT else change(some, reference, results)
            lines.append((TITLES[targets], str(rank), wer(some), change_text(compared), *_costs(some), count(some)))
    columns = (
        "targets", "rank", "dev WER", "change", "trained", "% of base", "tokens/s", "minutes to the last evaluation",
        "memory beyond weights, MiB", "seeds",
    )  # fmt: skip
    return f"## {domain}\n\n{grid(columns, lines)}" if lines else ""


def _costs(records: Sequence[Record]) -> tuple[str, ...]:
    figures = [each.figures for each in records]
    return (
        f"{figures[0]['parameters']['trained']:,}",
        f"{figures[0]['parameters']['percent']:.2f}",
        f"{fmean(one['tokens_per_cpu_second'] for one in figures):,.0f}",
        f"{fmean(one['evaluations'][-1]['minutes'] for one in figures):.2f}",
        f"{fmean(one['memory']['peak_beyond_bytes'] for one in figures) / 2**20:,.0f}",
    )


def kept(key: Key, figures: Figures) -> Figures:
    """The figures that the page needs."""
    del key
    return pick(figures, "dev", "parameters", "tokens_per_cpu_second", "evaluations", "memory.peak_beyond_bytes")


TABLE = Table("table2", cells, page, kept)

if __name__ == "__main__":
    raise SystemExit(main(TABLE, description=str(__doc__)))
