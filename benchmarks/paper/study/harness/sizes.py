"""The sizes of the study: small and medium for two cores, full for a GPU."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of lists of a domain; None: all."""

    train: int | None = None
    dev: int | None = None
    test: int | None = None


@dataclass(frozen=True, slots=True)
class Size:
    """A size, the same for all tables.

    Attributes:
        name: the size's name and that of its folder of results.
        base: the base to adapt, a value of --base.
        counts: numbers of lists by domain, in the order of the tables.
        hypotheses: number kept of each list, the best by first pass; None: all.
        epochs: number of passes over the train lists.
        evaluations: number on dev in each epoch.
        rates: number of learning rates that each method tries on seed 0, the first of its own.
        seeds: number of seeds, from 0.
        curve: numbers of train lists in Table 4; None: all.
        correlation_weight: of LoRB, except where a table varies it.
        methods: names of the methods in Table 1; empty: all.
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
        """The names of the domains."""
        return tuple(self.counts)

    def domains_or(self, few: Sequence[str]) -> tuple[str, ...]:
        """All domains; those of `few` in the small size."""
        return tuple(each for each in self.domains if self.name != "small" or each in few)


# Dev sets of about 3,000 reference words each: what an interval goes by. dstc2_live has 4 words a turn.
_FEW = {"librispeech": Counts(300, 150, 300), "dstc2_live": Counts(600, 600, 1500), "hp_atis": Counts(500, 250, 500)}
SMALL = Size("small", "rescore-minilm", _FEW, 5, 2, 2, 3, 3, (150, 500, 1500), 1e-3)
# More steps, for the methods that the claims are about, and the correlation weight with the lowest WER in Table 3.
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
