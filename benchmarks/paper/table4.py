"""Table 4: dev WER by the number of train lists, with a fitted line.

    python benchmarks/paper/table4.py [--plan | --write] [--size small|medium|full] [...]

LoRB. The learning rate is chosen on dev for each number of lists, from the rates that Table 1 tries: the rate that
Table 1 chose for 300 lists of LibriSpeech, 1e-2, fails to learn from 500. Small numbers of lists get more epochs, up to
four, until about 600 lists are read. A larger cut contains the smaller ones.
"""

from collections.abc import Sequence

from study.harness.cell import Cell, Key
from study.harness.command import main
from study.harness.records import Record, Records
from study.harness.sizes import Size
from study.harness.table import Figures, Table, pick
from study.lists.error_counts import SetCounts
from study.lists.sets import TRAIN, Lists
from study.pages.learning_curve_plot import Panel, plot_curves
from study.pages.markdown import grid
from study.pages.markdown import page as whole_page
from study.pages.rows import errors, matching, wer
from study.statistics.learning_curve import fitted
from study.training.learning_rates import chosen_records, with_rates
from study.training.methods import LORB
from study.training.sized_runs import cost_of, dev_of, training

_LISTS_SEEN, _MAX_EPOCHS = 600, 4
_WORDS = """LoRB, the learning rate chosen for each number on seed 0. Mean over seeds with Student's interval. The line
is change = a + b log10(lists), fitted to the mean changes from the first pass; b is the change per tenfold number of
lists. Intervals are over dev lists and seeds, paired with the first pass. A domain with fewer lists than a column says
uses all of its lists."""


def cells(size: Size, records: Records) -> list[Cell]:
    """The cells by number of lists, the smallest first."""
    made = []
    for count in size.curve:
        for domain in size.domains:
            epochs = max(size.epochs, min(_MAX_EPOCHS, -(-_LISTS_SEEN // (count or _LISTS_SEEN))))
            row = {"domain": domain, "lists": count or 0}
            for key, rate, seed in with_rates(records, row, LORB.rates[: size.rates], size.seeds):
                work = training(
                    size, domain, LORB.flags(size), seed=seed, rate=rate,
                    train=Lists(domain, TRAIN, count, size.hypotheses), epochs=epochs,
                    evaluations=max(1, size.epochs * size.evaluations // epochs),
                )  # fmt: skip
                made.append(Cell(key, work, cost_of(size, domain, lists=count)))
    return made


def page(size: Size, records: Records) -> str:
    """Makes the page: a row for each domain with its fitted line, then the learning rates."""
    done, results = list(records.all()), records.results
    counted = [f"{count or 'all'} lists" for count in size.curve]
    lines, rates, panels = [], [], {}
    for domain in size.domains:
        by_count = _chosen(done, size, domain)
        if not by_count:
            continue
        counts = SetCounts.read(results, dev_of(size, domain).name)
        changes = {_number(some): [e - counts.first_pass for e in errors(some)] for some in by_count.values()}
        line = ("", "", "")
        if len(changes) > 2:
            found = fitted(changes, counts.words)
            far = found.change_at(10 * max(changes))
            line = (found.slope.text(sign=True), f"{found.explained:.2f}", far.text(sign=True))
            panels[domain] = Panel({n: [counts.wer(each) for each in some] for n, some in changes.items()}, found)
        shown = [wer(by_count.get(count or 0, [])) for count in size.curve]
        ends = [f"{counts.wer(each):.2f}" for each in (counts.first_pass, counts.oracle)]
        lines.append((domain, ends[0], *shown, *line, ends[1]))
        rates.append((domain, *(_rate_and_seeds(by_count.get(count or 0, [])) for count in size.curve)))
    if panels:
        plot_curves(results / "table4.svg", panels)
    table = grid(("domain", "first pass", *counted, "b", "R²", "change at ten times", "oracle"), lines)
    chosen_rates = f"Learning rate and number of seeds:\n\n{grid(('domain', *counted), rates)}"
    image = "![WER against train lists](table4.svg)" if panels else ""
    return whole_page(
        "Table 4: number of train lists", size, done, _WORDS, *((table, chosen_rates, image) if lines else ())
    )


def _chosen(done: Sequence[Record], size: Size, domain: str) -> dict[int, list[Record]]:
    """The runs with the chosen rate, by number of lists; 0 is all."""
    chosen = {}
    for count in size.curve:
        row = matching(done, domain=domain, lists=count or 0)
        if row:
            chosen[count or 0] = chosen_records(row, LORB.rates[: size.rates])
    return chosen


def _rate_and_seeds(records: list[Record]) -> str:
    return f"{records[0].key['rate']:g}, {len(records)}" if records else ""


def _number(records: list[Record]) -> int:
    """The number of train lists."""
    return int(records[0].figures["lists"]["train"])


def kept(key: Key, figures: Figures) -> Figures:
    """The figures that the page needs."""
    del key
    return pick(figures, "dev", "best.wer", "lists.train")


TABLE = Table("table4", cells, page, kept)

if __name__ == "__main__":
    raise SystemExit(main(TABLE, description=str(__doc__)))
