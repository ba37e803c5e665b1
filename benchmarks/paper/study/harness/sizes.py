"""How large the study is: what fits two cores, and what wants a GPU."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counts:
    """Lists of one domain; None: all there are."""

    train: int | None = None
    dev: int | None = None
    test: int | None = None


@dataclass(frozen=True, slots=True)
class Size:
    """Of all tables.

    Attributes:
        name: of the folder of results.
        base: that is adapted, as --base has it.
        counts: lists by domain, in the order of the tables.
        hypotheses: kept of each list, the first by first pass; None: all.
        epochs: over the train lists.
        evaluations: on dev in each epoch.
        rates: learning rates that each method tries on seed 0, the first so many of its own.
        seeds: how many, from 0.
        curve: numbers of train lists in Table 4; None is all.
        correlation_weight: of LoRB in all tables, unless it is what a table varies.
        methods: of Table 1, by name; empty: all.
    """

    name: str
    base: str
    counts: Mapping[str, Counts]
    hypotheses: int | None
    epochs: int
    evaluations: int
    rates: int
    seeds: int
    curve: tuple[int | None, ...]
    correlation_weight: float
    methods: tuple[str, ...] = ()

    @property
    def domains(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.counts)

    def domains_or(self, few: Sequence[str]) -> tuple[str, ...]:
        """All domains; in the small size those of `few`."""
        return tuple(each for each in self.domains if self.name != "small" or each in few)


# Dev sets of about 3,000 reference words each: what an interval goes by. dstc2_live has 4 words a turn.
_FEW = {"librispeech": Counts(300, 150, 300), "dstc2_live": Counts(600, 600, 1500), "hp_atis": Counts(500, 250, 500)}
SMALL = Size("small", "rescore-minilm", _FEW, 5, 2, 2, 3, 3, (150, 500, 1500), 1e-3)
# More steps, for the methods that the claims are about, and the correlation weight that Table 3 found to cost least.
_MORE = {
    "librispeech": Counts(1500, 300, 2000),
    "dstc2_live": Counts(2000, 1200, 4000),
    "hp_atis": Counts(1500, None, None),
}
MEDIUM = Size(
    "medium", "rescore-minilm", _MORE, 5, 2, 2, 2, 3, (150, 500, 1500, 5000), 1e-4, methods=("lorb", "full", "lora")
)
FULL = Size(
    "full",
    "rescore-minilm",
    {domain: Counts() for domain in _FEW},
    None,
    4,
    4,
    3,
    5,
    (150, 500, 1500, 5000, None),
    1e-4,
)
SIZES = {size.name: size for size in (SMALL, MEDIUM, FULL)}
