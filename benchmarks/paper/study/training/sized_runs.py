"""Makes the trainings of a size of the study, with their lists, flags and cost."""

from collections.abc import Sequence

from study.harness.sizes import Size
from study.lists.sets import DEV, TRAIN, Lists
from study.training.training import Training

_TOKENS = {"librispeech": 125.0, "dstc2_live": 40.0, "hp_atis": 32.0}  # per list of five hypotheses
_ALL = {"librispeech": (4851, 716), "dstc2_live": (11166, 3690), "hp_atis": (3543, 382)}  # train and dev lists


def dev_of(size: Size, domain: str) -> Lists:
    """The dev lists of a domain at a size."""
    return Lists(domain, DEV, size.counts[domain].dev, size.hypotheses)


def train_of(size: Size, domain: str) -> Lists:
    """The train lists of a domain at a size."""
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
    evaluations: int = 0,
    elsewhere: bool = False,
    keeps: bool = False,
) -> Training:
    """A training at a size. Base, lists, epochs and evaluations default to the size's."""
    shared = (
        "--epochs", str(epochs or size.epochs), "--evaluations-per-epoch", str(evaluations or size.evaluations),
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
        # full fine-tuning writes checkpoints of hundreds of MB, and a run of a smaller size takes a minute
        checkpoints=size.name == "full" or "full" not in flags,
    )


def cost_of(size: Size, domain: str, *, lists: int | None = None, factor: float = 1.0) -> float:
    """An estimate of the tokens that a run trains on, plus half of those that it scores, times `factor`."""
    counts, of_list = size.counts[domain], _TOKENS[domain] * (1 if size.hypotheses else 2)
    train = (lists or counts.train or _ALL[domain][0]) * size.epochs
    scored = (counts.dev or _ALL[domain][1]) * size.epochs * size.evaluations / 2
    others = sum(_TOKENS[each] * (size.counts[each].dev or _ALL[each][1]) for each in size.domains if each != domain)
    return factor * (of_list * (train + scored) + others / 2)
