"""Table 8: weight updates of LoRA and full fine-tuning from the same start on the same lists.

    python benchmarks/paper/table8.py [--plan | --write] [--jobs N]

A cell trains both with one seed and compares weights, hidden states, attention maps and corrected words on
LibriSpeech's dev set. The last cell compares the seeds.
"""

from collections.abc import Mapping

from study.harness.cell import Cell
from study.harness.command import main
from study.harness.records import Records
from study.harness.sizes import Size
from study.harness.table import Table
from study.lists.sets import DEV, Lists
from study.table8_lora_vs_full.across_seeds import AcrossSeeds
from study.table8_lora_vs_full.comparison import Comparison
from study.table8_lora_vs_full.page import page
from study.training.learning_rates import chosen_rate
from study.training.methods import FULL, LORA, Method
from study.training.sized_runs import training
from study.training.training import Training

DOMAIN = "librispeech"
EVALUATIONS = 1  # per epoch, on dev; more would take longer than the steps
DEV_LISTS = 400  # more than in other tables, because words are counted by class
RATES = {"lora": 1e-3, "full": 6e-5}  # learning rates until Table 1 has chosen
_METHODS = {"lora": LORA, "full": FULL}


def cells(size: Size, records: Records) -> list[Cell]:
    """A comparison for each seed, then one of the seeds."""
    rates = {name: _rate(size, records, method) for name, method in _METHODS.items()}
    works = [
        Comparison(_run(size, "lora", rates, seed), _run(size, "full", rates, seed), _dev(size))
        for seed in range(size.seeds)
    ]
    key = {"domain": DOMAIN, **rates}
    compared = [Cell({**key, "seed": seed}, work) for seed, work in enumerate(works)]
    seeds = AcrossSeeds(tuple(zip((cell.name for cell in compared), works, strict=True)))
    return [*compared, Cell({**key, "of": "seeds"}, seeds, cost=0.1)]


def _rate(size: Size, records: Records, method: Method) -> float:
    """The learning rate that Table 1 chose for a method; that of RATES until then."""
    first = Records(records.results, "table1").find(domain=DOMAIN, method=method.name, seed=0)
    return chosen_rate(first, method.rates[: size.rates]) or RATES[method.name]


def _dev(size: Size) -> Lists:
    return Lists(DOMAIN, DEV, DEV_LISTS if size.name == "small" else None, size.hypotheses)


def _run(size: Size, method: str, rates: Mapping[str, float], seed: int) -> Training:
    flags = _METHODS[method].flags(size)
    return training(
        size, DOMAIN, flags, seed=seed, rate=rates[method], dev=_dev(size), evaluations=EVALUATIONS, keeps=True
    )


TABLE = Table("table8", cells, page)

if __name__ == "__main__":
    raise SystemExit(main(TABLE, description=__doc__))
