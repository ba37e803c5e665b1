"""Table 5: ablations: the RescoreBERT base, context, MWED, the switching margin, heads, and N.

    python benchmarks/paper/table5.py [--plan | --write] [--size small|full] [...]

LoRB with the learning rate that Table 1 chose; each row changes one setting. Heads are also compared on minilm, because
rescore-minilm brings a trained sum head and minilm has none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from study.harness.cell import Cell, Key
from study.harness.command import main
from study.harness.records import Record, Records
from study.harness.sizes import Size
from study.harness.table import Figures, Table, pick
from study.lists.error_counts import SetCounts
from study.lists.sets import Lists
from study.pages.markdown import grid
from study.pages.markdown import page as whole_page
from study.pages.rows import change, change_text, count, matching, wer
from study.training.learning_rates import lorb_rate
from study.training.methods import LORB
from study.training.sized_runs import cost_of, dev_of, train_of, training

_WORDS = """LoRB, the learning rate that Table 1 chose; each row changes one setting. WER in per cent, mean over seeds
with Student's interval. Change: paired difference from the row under "against", negative is better; the interval is
over lists and seeds. N: hypotheses of each train and dev list; the first row has N = 5 in the small size."""
_DEFAULT, _MINILM = "default", "minilm"


@dataclass(frozen=True, slots=True)
class Change:
    """A row: one change to the default.

    Attributes:
        name: name in keys.
        title: title in the table.
        flags: added to LoRB's.
        base: replaces the size's base; empty: no change.
        hypotheses: N, replaces the size's; 0: no change.
        against: name of the row to compare with.
        domains: domains to train on; empty: all.
    """

    name: str
    title: str
    flags: tuple[str, ...] = ()
    base: str = ""
    hypotheses: int = 0
    against: str = _DEFAULT
    domains: tuple[str, ...] = ()


CHANGES = (
    Change(_DEFAULT, "LoRB on rescore-minilm, sum head, MWER"),
    Change(_MINILM, "on minilm: no RescoreBERT base", base="minilm"),
    Change("mwed", "MWED", ("--loss", "mwed")),
    Change("context", "with context", ("--context",), domains=("dstc2_live",)),
    Change("n2", "N = 2", hypotheses=2),
    Change("n10", "N = 10", hypotheses=10, domains=("librispeech", "dstc2_live")),
    Change("minilm-mean", "on minilm, mean head", ("--head", "mean"), "minilm", against=_MINILM),
    Change("minilm-cls", "on minilm, cls head", ("--head", "cls"), "minilm", against=_MINILM),
    Change("mean", "mean head", ("--head", "mean")),
    Change("cls", "cls head", ("--head", "cls")),
)


def cells(size: Size, records: Records) -> list[Cell]:
    """The cells, change by change: those of the first changes already make a table."""
    made = []
    for each in CHANGES:
        for domain in each.domains or size.domains:
            rate = lorb_rate(records, size, domain) if domain in size.domains else None
            for seed in range(size.seeds if rate else 0):
                train, dev = train_of(size, domain), dev_of(size, domain)
                if each.hypotheses:
                    train, dev = (Lists(c.domain, c.part, c.count, each.hypotheses) for c in (train, dev))
                work = training(
                    size, domain, (*LORB.flags(size), *each.flags), seed=seed, rate=rate or 0.0, base=each.base,
                    train=train, dev=dev, elsewhere=each.name == _DEFAULT,
                )  # fmt: skip
                key = {"change": each.name, "domain": domain, "seed": seed}
                made.append(Cell(key, work, cost_of(size, domain, factor=(each.hypotheses or 5) / 5)))
    return made


def page(size: Size, records: Records) -> str:
    """Makes the page, a section for each domain."""
    done = list(records.all())
    parts = [_domain(matching(done, domain=domain), domain, records.results) for domain in size.domains]
    return whole_page("Table 5: ablations", size, done, _WORDS, *parts)


def _domain(records: Sequence[Record], domain: str, results: Path) -> str:
    lines = []
    for each in CHANGES:
        some, reference = matching(records, change=each.name), matching(records, change=each.against)
        if not some:
            continue
        counts = SetCounts.read(results, some[0].figures["dev"]["set"])
        ends = [f"{counts.wer(errors):.2f}" for errors in (counts.first_pass, counts.oracle)]
        compared = None if each.name == each.against else change(some, reference, results)
        against = "" if compared is None else next(one.title for one in CHANGES if one.name == each.against)
        lines.append((each.title, ends[0], wer(some), ends[1], change_text(compared), against, count(some)))
        if each.name == _DEFAULT:
            bare = change(some, some, results, "dev_without_margin", "dev")
            title, without = "without a switching margin", "dev_without_margin"
            lines.append((title, ends[0], wer(some, without), ends[1], change_text(bare), each.title, count(some)))
    columns = ("", "first pass", "dev WER", "oracle", "change", "against", "seeds")
    return f"## {domain}\n\n{grid(columns, lines)}" if lines else ""


def kept(key: Key, figures: Figures) -> Figures:
    """The figures that the page needs."""
    return pick(figures, "dev", *(("dev_without_margin",) if key["change"] == _DEFAULT else ()))


TABLE = Table("table5", cells, page, kept)

if __name__ == "__main__":
    raise SystemExit(main(TABLE, description=str(__doc__)))
