"""Table 6: base depth: MiniLM's lowest 2, 4 or all 6 layers with the same pretraining, and LoRB on each.

    python benchmarks/paper/table6.py [--plan | --write] [--size small|medium|full] [--jobs N]

lorb-build-base makes one base of each depth from the same book sentences, whose file is in the sets' folder `text` or
beside the repository. Only the adapters are trained with several seeds. `--size full --device cuda` trains on all of
the text.
"""

from study.harness.cell import Cell, Key
from study.harness.command import main
from study.harness.records import Records
from study.harness.sizes import Size
from study.harness.table import Figures, Table, pick
from study.lists.sets import DEV, Lists
from study.table6_depth.adapter_training import AdapterTraining
from study.table6_depth.base_building import BaseBuilding
from study.table6_depth.inference_speed import InferenceSpeed
from study.table6_depth.page import page
from study.training.learning_rates import lorb_rate
from study.training.methods import LORB
from study.training.sized_runs import cost_of, training

DOMAIN, PARENT = "librispeech", "minilm"
LAYERS = (2, 4, 6)
SENTENCES = {"small": 20_000, "medium": 20_000, "full": 420_000}
DEV_LISTS = 400
_BASE_DEV = ("dev.utterances", "dev.words", "dev.first_pass_wer", "dev.rescored_wer", "dev.oracle_wer")
RATE = 1e-3  # learning rate until Table 1 has chosen one
_SPEED_LISTS = Lists(DOMAIN, DEV, 60)  # with all ten hypotheses


def cells(size: Size, records: Records) -> list[Cell]:
    """For each depth the cell of its base; once that is done, those of its speed and adapters too."""
    found = []
    dev = Lists(DOMAIN, DEV, None if size.name == "full" else DEV_LISTS, size.hypotheses)
    for layers in LAYERS:
        building = BaseBuilding(PARENT, layers, SENTENCES[size.name], dev)
        made = Cell({"of": "base", "layers": layers}, building, cost=40 * SENTENCES[size.name] * (1 + layers) / 4)
        found.append(made)
        if not records.find(of="base", layers=layers):
            continue
        found.append(Cell({"of": "speed", "layers": layers}, InferenceSpeed(building, made.name, _SPEED_LISTS), 5e4))
        rate = lorb_rate(records, size, DOMAIN) or RATE
        for seed in range(size.seeds):
            base = f"{PARENT}-lowest-{layers}"
            run = training(size, DOMAIN, LORB.flags(size), seed=seed, rate=rate, base=base, dev=dev, evaluations=1)
            work = AdapterTraining(building, made.name, run)
            cost = cost_of(size, DOMAIN, factor=layers / 6)
            found.append(Cell({"of": "lorb", "layers": layers, "rate": rate, "seed": seed}, work, cost))
    return found


def kept(key: Key, figures: Figures) -> Figures:
    """The figures that the page needs."""
    if key["of"] == "base":
        return pick(figures, "parameters", "trained_on", "cost.seconds", *_BASE_DEV)
    if key["of"] == "speed":
        return {dtype: pick(each, "list_ms", "tokens_per_second") for dtype, each in figures.items()}
    return pick(figures, "dev")


TABLE = Table("table6", cells, page, kept)

if __name__ == "__main__":
    raise SystemExit(main(TABLE, description=__doc__))
