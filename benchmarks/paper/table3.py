"""Table 3: the correlation regulariser's weight lambda, and other regularisers.

    python benchmarks/paper/table3.py [--plan | --write] [--size small|full] [...]

LoRA with the learning rate that Table 1 chose for LoRB; lambda 0 is LoRA alone. Dropout 0.1, weight decay 0.1 (else
0.01) and R-Drop (weight 1, with that dropout) are each combined with lambda 0 and with LoRB's lambda. Isotropy is
measured on the first hypothesis of each dev list; study/training/isotropy.py has the formulas.
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
from study.lists.error_counts import without_errors
from study.pages.markdown import grid
from study.pages.markdown import page as whole_page
from study.pages.rows import change, change_text, count, elsewhere, matching, wer
from study.training.learning_rates import lorb_rate
from study.training.sized_runs import cost_of, training

LAMBDAS = (0.0, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
NONE = "alone"
WITH = {
    NONE: (),
    "dropout": ("--dropout", "0.1"),
    "decay": ("--weight-decay", "0.1"),
    "rdrop": ("--dropout", "0.1", "--r-drop", "1"),
}
_SMALL_DOMAINS = ("hp_atis", "dstc2_live")  # with short lists
_WORDS = """WER in per cent, mean over seeds with Student's interval. Change: paired difference from lambda 0 alone,
negative is better; the interval is over lists and seeds. Elsewhere: the mean of the two other domains' dev WER, as in
Table 1. Correlation: || Sigma - I ||_F of the features over its value for independent dimensions, 1 is chance. Cosine:
the mean over pairs of lists' features. Partition: Mu and Viswanath's measure, 1 is isotropic."""


def settings(size: Size) -> list[tuple[str, float]]:
    """(added regulariser, lambda): first each lambda alone, then the combinations."""
    return [(NONE, each) for each in LAMBDAS] + [
        (name, each) for name, each in product(WITH, (0.0, size.correlation_weight)) if name != NONE
    ]


def cells(size: Size, records: Records) -> list[Cell]:
    """The cells of each domain, by seed: those of seed 0 already fill the table."""
    made = []
    for domain in size.domains_or(_SMALL_DOMAINS):
        rate = lorb_rate(records, size, domain)
        for seed, (name, weight) in product(range(size.seeds if rate else 0), settings(size)):
            flags = ("--method", "lora", "--correlation-weight", f"{weight:g}", *WITH[name])
            work = training(size, domain, flags, seed=seed, rate=rate or 0.0, elsewhere=True)
            key = {"domain": domain, "with": name, "lambda": weight, "seed": seed}
            made.append(Cell(key, work, cost_of(size, domain, factor=2 if name == "rdrop" else 1)))
    return made


def page(size: Size, records: Records) -> str:
    """Makes the page, a section for each domain."""
    done, results = list(records.all()), records.results
    parts = [
        _domain(size, matching(done, domain=domain), domain, results) for domain in size.domains_or(_SMALL_DOMAINS)
    ]
    return whole_page("Table 3: correlation weight and other regularisers", size, done, _WORDS, *parts)


def _domain(size: Size, records: Sequence[Record], domain: str, results: Path) -> str:
    reference = matching(records, **{"with": NONE, "lambda": 0.0})
    lines = []
    for name, weight in settings(size):
        some = matching(records, **{"with": name, "lambda": weight})
        if some:
            compared = None if some == reference else change(some, reference, results)
            lines.append((
                f"{weight:g}", "" if name == NONE else name, wer(some), change_text(compared), elsewhere(some),
                elsewhere(some, "weight_fitted_there"), *_isotropy(some), count(some),
            ))  # fmt: skip
    columns = (
        "lambda", "with", "dev WER", "change", "elsewhere", "weight fitted there", "correlation", "cosine", "partition",
        "seeds",
    )  # fmt: skip
    return f"## {domain}\n\n{grid(columns, lines)}" if lines else ""


def _isotropy(records: Sequence[Record]) -> tuple[str, ...]:
    names = ("correlation", "mean_cosine", "partition")
    return tuple(f"{fmean(each.figures['isotropy'][name] for each in records):.2f}" for name in names)


def kept(key: Key, figures: Figures) -> Figures:
    """The figures that the page needs."""
    del key
    return pick(figures, "dev", "isotropy") | {"elsewhere": without_errors(figures["elsewhere"])}


TABLE = Table("table3", cells, page, kept)

if __name__ == "__main__":
    raise SystemExit(main(TABLE, description=str(__doc__)))
