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
        name: name of the size and of its folder of results.
        base: the base to adapt, a value of --base.
        counts: numbers of lists by domain, in the order of the tables.
        hypotheses: number of first hypotheses kept of each list; None: all.
        epochs: number of passes over the train lists.
        evaluations: number of evaluations on dev in each epoch.
        rates: number of a method's learning rates that are tried on seed 0, the first ones.
        seeds: number of seeds, from 0.
        curve: numbers of train lists in Table 4; None: all.
        correlation_weight: LoRB's, unless a table varies it.
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
        """The domains; in the small size only those in `few`."""
        return tuple(each for each in self.domains if self.name != "small" or each in few)


# Each dev set has about 3,000 reference words, which decide the width of intervals; dstc2_live has 4 words per turn.
_FEW = {"librispeech": Counts(300, 150, 300), "dstc2_live": Counts(600, 600, 1500), "hp_atis": Counts(500, 250, 500)}
SMALL = Size("small", "rescore-minilm", _FEW, 5, 2, 2, 3, 3, (150, 500, 1500), 1e-3)
# More lists, only for the methods in the paper's claims, and the correlation weight with the lowest WER in Table 3.
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
