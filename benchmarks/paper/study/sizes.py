"""How large the study is: what fits two cores, and what wants a GPU."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """Of all tables.

    Attributes:
        name: of the folder of results.
        base: that is adapted, as --base has it.
        domains: in the order of the tables.
        train_lists, dev_lists, test_lists: of each domain; None: all there are.
        hypotheses: kept of each list, the first by first pass; None: all.
        epochs, looks: over the train lists; at dev in each epoch.
        seeds: 0 to this, without it.
        curve: numbers of train lists in Table 4, and seeds for each; None is all.
    """

    name: str
    base: str
    domains: tuple[str, ...]
    train_lists: int | None
    dev_lists: int | None
    test_lists: int | None
    hypotheses: int | None
    epochs: int
    looks: int
    seeds: int
    curve: tuple[int | None, ...]


DOMAINS = ("librispeech", "dstc2_live", "hp_atis")
SMALL = Size("small", "rescore-minilm", DOMAINS, 400, 300, 300, 5, 2, 3, 3, (150, 500, 1500))
FULL = Size("full", "rescore-minilm", DOMAINS, None, None, None, None, 4, 4, 5, (150, 500, 1500, 5000, None))
SIZES = {size.name: size for size in (SMALL, FULL)}
