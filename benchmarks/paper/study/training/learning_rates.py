"""Chooses the learning rate of a method: the best on dev of those tried on seed 0."""

from collections.abc import Iterable, Mapping, Sequence

from study.harness.records import Record, Records
from study.harness.sizes import Size
from study.training.methods import LORB


def chosen_rate(records: Iterable[Record], rates: Sequence[float]) -> float | None:
    """The rate with the lowest dev WER, the lowest of equally good ones. None if a run is missing."""
    wers = {record.key["rate"]: record.figures["best"]["wer"] for record in records}
    if not all(rate in wers for rate in rates):
        return None
    return min(rates, key=lambda rate: (wers[rate], rate))


def with_rates(
    records: Records, key: Mapping[str, str], rates: Sequence[float], num_seeds: int
) -> list[tuple[dict[str, str | float], float, int]]:
    """Keys, rates and seeds of a row: each rate on seed 0, and the chosen rate, once known, on the other seeds."""
    cells: list[tuple[dict[str, str | float], float, int]] = [
        ({**key, "rate": rate, "seed": 0}, rate, 0) for rate in rates
    ]
    chosen = chosen_rate(records.find(**key, seed=0), rates)
    if chosen is not None:
        cells += [({**key, "rate": chosen, "seed": seed}, chosen, seed) for seed in range(1, num_seeds)]
    return cells


def chosen_records(records: Sequence[Record], rates: Sequence[float]) -> list[Record]:
    """The records of a row with the best of the finished rates, sorted by seed."""
    first = [each for each in records if each.key["seed"] == 0]
    done = [rate for rate in rates if any(each.key["rate"] == rate for each in first)]
    chosen = chosen_rate(first, done) if done else None
    mine = [each for each in records if each.key["rate"] == chosen]
    return sorted(mine, key=lambda each: int(each.key["seed"]))


def lorb_rate(records: Records, size: Size, domain: str) -> float | None:
    """The learning rate that Table 1 chose for LoRB on a domain; None if it has not yet."""
    first = Records(records.results, "table1").find(domain=domain, method=LORB.name, seed=0)
    return chosen_rate(first, LORB.rates[: size.rates])
