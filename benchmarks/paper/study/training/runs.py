"""Cells that are runs of the trainer: the flags that all share, and the choice of a learning rate on dev."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from study.lists.error_counts import SetCounts, unpacked
from study.training.methods import LORB
from study.harness.records import Record, Records
from study.lists.sets import DEV, TRAIN, Lists
from study.harness.sizes import Size
from study.training.training import Training

_TOKENS = {"librispeech": 125.0, "dstc2_live": 40.0, "hp_atis": 32.0}  # of a list cut to five
_ALL = {"librispeech": (4851, 716), "dstc2_live": (11166, 3690), "hp_atis": (3543, 382)}  # train and dev lists


def dev_of(size: Size, domain: str) -> Lists:
    """A domain's dev at this size."""
    return Lists(domain, DEV, size.counts[domain].dev, size.hypotheses)


def train_of(size: Size, domain: str) -> Lists:
    """A domain's train lists at this size."""
    return Lists(domain, TRAIN, size.counts[domain].train, size.hypotheses)


def training(
    size: Size,
    domain: str,
    flags: Sequence[str],
    *,
    seed: int,
    rate: float,
    base: str = "",
    train: Lists | None = None,
    dev: Lists | None = None,
    epochs: int = 0,
    looks: int = 0,
    elsewhere: bool = False,
    keeps: bool = False,
) -> Training:
    """A run at this size: its lists, epochs and looks; what is given instead of them, and further flags."""
    shared = (
        "--epochs", str(epochs or size.epochs), "--evaluations-per-epoch", str(looks or size.looks),
        "--patience", "0",
        "--learning-rate", f"{rate:g}", "--seed", str(seed),
    )  # fmt: skip
    others = tuple(dev_of(size, each) for each in size.domains if elsewhere and each != domain)
    return Training(
        domain,
        base or size.base,
        (*flags, *shared),
        train or train_of(size, domain),
        dev or dev_of(size, domain),
        others,
        keeps=keeps,
        # its checkpoints are hundreds of megabytes, and a small run is a minute
        checkpoints=size.name == "full" or "full" not in flags,
    )


def cost_of(size: Size, domain: str, *, lists: int | None = None, factor: float = 1.0) -> float:
    """About how many tokens a run trains on and looks at; a look's cost half."""
    counts, of_list = size.counts[domain], _TOKENS[domain] * (1 if size.hypotheses else 2)
    train = (lists or counts.train or _ALL[domain][0]) * size.epochs
    looks = (counts.dev or _ALL[domain][1]) * size.epochs * size.looks / 2
    others = sum(_TOKENS[each] * (size.counts[each].dev or _ALL[each][1]) for each in size.domains if each != domain)
    return factor * (of_list * (train + looks) + others / 2)


def chosen_rate(records: Iterable[Record], rates: Sequence[float]) -> float | None:
    """The rate whose run has the lowest WER on dev; of equals the lower. None while one of them is not done."""
    wers = {record.key["rate"]: record.figures["best"]["wer"] for record in records}
    if not all(rate in wers for rate in rates):
        return None
    return min(rates, key=lambda rate: (wers[rate], rate))


def with_rates(
    records: Records, key: Mapping[str, str], rates: Sequence[float], num_seeds: int
) -> list[tuple[dict[str, str | float], float, int]]:
    """Keys, rates and seeds of one row: each rate on seed 0, and the chosen one on the other seeds once it is known."""
    cells: list[tuple[dict[str, str | float], float, int]] = [
        ({**key, "rate": rate, "seed": 0}, rate, 0) for rate in rates
    ]
    chosen = chosen_rate(records.find(**key, seed=0), rates)
    if chosen is not None:
        cells += [({**key, "rate": chosen, "seed": seed}, chosen, seed) for seed in range(1, num_seeds)]
    return cells


def chosen_records(records: Sequence[Record], rates: Sequence[float]) -> list[Record]:
    """Of one row's records those with the best rate of those that are done, by seed."""
    first = [each for each in records if each.key["seed"] == 0]
    done = [rate for rate in rates if any(each.key["rate"] == rate for each in first)]
    chosen = chosen_rate(first, done) if done else None
    mine = [each for each in records if each.key["rate"] == chosen]
    return sorted(mine, key=lambda each: int(each.key["seed"]))


def dev_errors(records: Sequence[Record]) -> list[np.ndarray]:
    """Errors on the own dev list by list, for each record."""
    return [unpacked(record.figures["dev"]["errors"]) for record in records]


def dev_counts(records: Records, size: Size, domain: str) -> SetCounts:
    """A domain's dev before it is rescored."""
    return SetCounts.read(records.folder.parent, dev_of(size, domain).name)


def lorb_rate(records: Records, size: Size, domain: str) -> float | None:
    """The learning rate that Table 1 chose for LoRB on a domain; None while it has not."""
    first = Records(records.folder.parent, "table1").find(domain=domain, method=LORB.name, seed=0)
    return chosen_rate(first, LORB.rates[: size.rates])
