"""Draws the lists that every system scores: real ten-best lists in a seeded order, each with a domain."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lorb.formats import read_nbest_lists
from lorb.nbest import NBest

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = (ROOT / "tests/data/librispeech/test.jsonl.gz",)
FULL = tuple(
    ROOT / f"../shared/data/nbest/librispeech_ls100_10best/{split}.jsonl.gz" for split in ("test_clean", "test_other")
)
NUM_DOMAINS = 8  # that calls are spread over
SEED = 20


@dataclass(frozen=True, slots=True)
class TaggedList:
    """A list and the number of its domain."""

    nbest: NBest
    domain: int

    @property
    def texts(self) -> list[str]:
        """The distinct transcripts, which are scored."""
        return [distinct.transcript for distinct in self.nbest.distinct()]


class Workload:
    """An endless sequence of lists, the same in every process."""

    def __init__(self, num_domains: int = NUM_DOMAINS, seed: int = SEED) -> None:
        paths = [path for path in FULL if path.is_file()] or list(SAMPLE)
        lists = [nbest for nbest in read_nbest_lists(paths) if len(nbest.distinct()) > 1]
        source = random.Random(seed)  # noqa: S311 - an order, not a secret
        source.shuffle(lists)
        self._lists = [TaggedList(nbest, source.randrange(num_domains)) for nbest in lists]

    def take(self, start: int, count: int) -> list[TaggedList]:
        """`count` lists from position `start`; the sequence wraps around."""
        return [self._lists[(start + i) % len(self._lists)] for i in range(count)]


def domain_name(number: int) -> str:
    """The name of a domain in store and requests."""
    return f"domain-{number:02d}"


def cut(sizes: Sequence[int], max_size: int) -> Iterator[slice]:
    """Slices of consecutive items whose sizes sum to at most `max_size`; a larger item gets its own slice."""
    start = total = 0
    for i, size in enumerate(sizes):
        if i > start and total + size > max_size:
            yield slice(start, i)
            start, total = i, 0
        total += size
    if sizes:
        yield slice(start, len(sizes))
