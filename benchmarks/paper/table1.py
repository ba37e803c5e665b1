"""Table 1: WER of each method on its own and other domains, parameters, minutes and memory.

    python benchmarks/paper/table1.py [--plan | --write | --test] [--size small|medium|full] [...]

Every method has the same budget: lists, epochs, evaluations, and number of learning rates tried on seed 0. The other
seeds use the rate that is best on dev. --test is the only use of the test sets: the chosen runs rescore them without
tuning, and a line is added to test_log.md. README.md explains the figures.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from study.harness.cell import Cell, Key
from study.harness.command import main
from study.harness.records import Records
from study.harness.sizes import Size
from study.harness.table import Figures, Table, pick
from study.lists.error_counts import without_errors
from study.lists.sets import TEST, Lists
from study.table1.baselines import TrigramRescoring, Untrained
from study.table1.page import page
from study.table1.test_page import page as test_page
from study.table1.test_scoring import TestScoring
from study.training.learning_rates import chosen_records, with_rates
from study.training.methods import FULL, LORB, methods_of
from study.training.sized_runs import cost_of, dev_of, train_of, training

LOG = Path(__file__).with_name("test_log.md")


def cells(size: Size, records: Records) -> list[Cell]:
    """The baselines, then each method on each domain, the cheapest first."""
    made = []
    for domain in size.domains:
        sets = tuple(dev_of(size, each) for each in size.domains)
        trigram = TrigramRescoring(train_of(size, domain), sets)
        made.append(Cell({"domain": domain, "method": "trigram"}, trigram, cost_of(size, domain) / 20))
        untrained = Untrained(size.base, dev_of(size, domain))
        made.append(Cell({"domain": domain, "method": "untrained"}, untrained, cost=cost_of(size, domain) / 10))
    for method in methods_of(size):
        for domain in sorted(size.domains, key=lambda each: cost_of(size, each)):
            key = {"domain": domain, "method": method.name}
            for whole, rate, seed in with_rates(records, key, method.rates[: size.rates], size.seeds):
                work = training(size, domain, method.flags(size), seed=seed, rate=rate, elsewhere=True, keeps=True)
                made.append(Cell(whole, work, cost_of(size, domain, factor=method.cost)))
    return made


def kept(key: Key, figures: Figures) -> Figures:
    """The figures that pages need, with errors of each list only for methods that a page compares."""
    if key["method"] in ("trigram", "untrained"):
        return {name: without_errors(figures[name]) for name in ("dev", "elsewhere") if name in figures}
    costs = pick(figures, "parameters", "tokens_per_cpu_second", "memory.peak_beyond_bytes", "best.wer", "best.minutes")
    if key["method"] == FULL.name:
        return costs | pick(figures, "dev", "elsewhere")
    if key["method"] == LORB.name:
        return costs | pick(figures, "dev", "dev_without_margin", "elsewhere", "isotropy", "evaluations", "lists.train")
    return costs | {name: without_errors(figures[name]) for name in ("dev", "elsewhere")}


def test_cells(size: Size, records: Records) -> list[Cell]:
    """The scoring of the test sets with the chosen runs."""
    made, trained = [], Records(records.results, TABLE.name)
    for domain in size.domains:
        test = Lists(domain, TEST, size.counts[domain].test, size.hypotheses)
        for method in methods_of(size):
            for record in chosen_records(trained.find(domain=domain, method=method.name), method.rates[: size.rates]):
                seed, rate = int(record.key["seed"]), float(record.key["rate"])
                run = training(size, domain, method.flags(size), seed=seed, rate=rate)
                work = TestScoring(test, f"{TABLE.name}/{record.name}", run.flags, run.base)
                made.append(Cell(record.key, work, cost_of(size, domain) / 10))
    return made


def log_test(size: Size) -> None:
    """Adds a line to test_log.md."""
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    sets = ", ".join(f"{name} ({counts.test or 'all'})" for name, counts in size.counts.items())
    with LOG.open("a", encoding="utf-8") as log:
        log.write(f"| {day} | test of {sets} | Table 1's chosen runs, size {size.name} | "
                  "final figures of Table 1; all was chosen on dev |\n")  # fmt: skip


TABLE = Table("table1", cells, page, kept)
TEST_TABLE = Table("table1-test", test_cells, test_page)

if __name__ == "__main__":
    arguments = sys.argv[1:]
    if "--test" in arguments:
        arguments.remove("--test")
        raise SystemExit(main(TEST_TABLE, arguments, str(__doc__), before=log_test))
    raise SystemExit(main(TABLE, arguments, str(__doc__)))
