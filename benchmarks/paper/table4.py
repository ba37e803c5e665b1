"""Table 4: WER on dev against the number of train lists, with a fitted line.

    python benchmarks/paper/table4.py [--plan | --write] [--size small|full] [...]

LoRB with the learning rate that Table 1 chose. Few lists are read in more epochs: 600 lists in all, four
epochs at most where a size has fewer. A smaller cut is part of a larger one.
"""

from study.cell import Cell
from study.command import main
from study.counts import SetCounts
from study.groups import errors, matching, wer
from study.learning_curve import fitted
from study.methods import LORB
from study.page import grid
from study.page import page as whole_page
from study.plot import plot_curves
from study.records import Record, Records
from study.runs import cost_of, dev_of, lorb_rate, training
from study.sets import TRAIN, Lists
from study.sizes import Size
from study.table import Table

_LISTS_SEEN, _MOST_EPOCHS = 600, 4
_WORDS = """LoRB, the learning rate that Table 1 chose. Mean over seeds with Student's interval. The line is
WER = a + b log10(lists) through the means; b is what ten times the lists bring. The intervals of b and of the line's
WER at ten times the most lists are over dev lists and seeds."""


def cells(size: Size, records: Records) -> list[Cell]:
    """By number of lists, the small ones first; those of a domain once Table 1 has its rate."""
    made = []
    for count in size.curve:
        for domain in size.domains:
            rate = lorb_rate(records, size, domain)
            for seed in range(size.seeds if rate else 0):
                epochs = max(size.epochs, min(_MOST_EPOCHS, -(-_LISTS_SEEN // (count or _LISTS_SEEN))))
                work = training(
                    size, domain, LORB.flags(size), seed=seed, rate=rate or 0.0,
                    train=Lists(domain, TRAIN, count, size.hypotheses), epochs=epochs,
                    looks=max(1, size.epochs * size.looks // epochs),
                )  # fmt: skip
                key = {"domain": domain, "lists": count or 0, "seed": seed}
                made.append(Cell(key, work, cost_of(size, domain, lists=count)))
    return made


def page(size: Size, records: Records) -> str:
    """A row a domain, and the line."""
    done, results = list(records.all()), records.folder.parent
    columns = (
        "domain",
        "first pass",
        *(f"{count or 'all'} lists" for count in size.curve),
        "b",
        "R²",
        "at ten times",
        "oracle",
    )
    lines, curves = [], {}
    for domain in size.domains:
        by_count = {count or 0: matching(done, domain=domain, lists=count or 0) for count in size.curve}
        by_count = {count: some for count, some in by_count.items() if some}
        if not by_count:
            continue
        counts = SetCounts.read(results, dev_of(size, domain).name)
        numbers = {_number(some): errors(some) for some in by_count.values()}
        line = ("", "", "")
        if len(numbers) > 2:
            slope, far, explained = fitted(numbers, counts.words)
            line = (slope.text(sign=True), f"{explained:.2f}", far.text())
            curves[domain] = {n: [counts.wer(each) for each in some] for n, some in numbers.items()}
        shown = [wer(by_count.get(count or 0, [])) for count in size.curve]
        ends = [f"{counts.wer(each):.2f}" for each in (counts.first_pass, counts.oracle)]
        lines.append((domain, ends[0], *shown, *line, ends[1]))
    if curves:
        plot_curves(results / "table4.svg", curves, "train lists", "dev WER, %")
    seeds = sorted({len(matching(done, domain=d, lists=c or 0)) for d in size.domains for c in size.curve})
    told = f"Seeds of a figure: {', '.join(map(str, seeds))}."
    image = "![WER against train lists](table4.svg)" if curves else ""
    return whole_page("Table 4: how many lists", size, done, _WORDS, told, grid(columns, lines), image)


def _number(records: list[Record]) -> int:
    """Train lists, with contrast or not."""
    return int(records[0].figures["lists"]["train"])


TABLE = Table("table4", cells, page)

if __name__ == "__main__":
    raise SystemExit(main(TABLE, description=str(__doc__)))
