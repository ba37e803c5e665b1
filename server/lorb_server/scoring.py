"""What a pass of the model is made of: the rows of many lists, equal ones once, within the budget."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from lorb_adapters.lora import AdapterWeights
from lorb_adapters.text import EncodedRow
from lorb_server.served import ServedAdapter


class ScoringModel(Protocol):
    """What serving needs of `lorb_adapters.model.RescoringModel`."""

    def score(
        self, rows: Sequence[EncodedRow], adapters: Sequence[AdapterWeights], row_adapters: Sequence[int]
    ) -> Tensor:
        """Scores rows of any mix of adapters in one pass, [rows]."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One list to score.

    Attributes:
        rows: its distinct texts.
        adapter: pinned when the call was admitted.
        answer_by: when its answer must be ready, on the engine's clock. Seconds.
        bulk: whether it belongs to a batch call and yields to single ones.
    """

    rows: Sequence[EncodedRow]
    adapter: ServedAdapter
    answer_by: float
    bulk: bool = False

    @property
    def num_tokens(self) -> int:
        """The work in it."""
        return sum(row.num_tokens for row in self.rows)


@dataclass(frozen=True, slots=True)
class Scored:
    """A job's result: one rescoring score for each row, and where the time went. Seconds."""

    scores: tuple[float, ...]
    queue_seconds: float
    infer_seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """The rows of some jobs, each distinct one once.

    Attributes:
        rows: what is to be scored.
        row_adapters: for each row an index into `adapters`.
        adapters: each once, by digest.
        places: for each job the positions of its rows' scores.
    """

    rows: list[EncodedRow]
    row_adapters: list[int]
    adapters: list[AdapterWeights]
    places: list[list[int]]

    @property
    def num_tokens(self) -> int:
        """Tokens that the model reads."""
        return sum(row.num_tokens for row in self.rows)

    @property
    def num_deduplicated(self) -> int:
        """Rows that need no work of their own."""
        return sum(map(len, self.places)) - len(self.rows)


def gather(jobs: Sequence[Job]) -> Work:
    """Puts the jobs' rows together; equal rows under equal weights are one, whatever lists they are in."""
    work = Work([], [], [], [])
    adapters: dict[str, int] = {}
    known: dict[tuple[object, ...], int] = {}
    for job in jobs:
        adapter = adapters.setdefault(job.adapter.ref.digest, len(adapters))
        if adapter == len(work.adapters):
            work.adapters.append(job.adapter.weights)
        places = []
        for row in job.rows:
            place = known.setdefault((adapter, row.token_ids, row.type_ids, row.scored_from), len(known))
            if place == len(work.rows):
                work.rows.append(row)
                work.row_adapters.append(adapter)
            places.append(place)
        work.places.append(places)
    return work


def score(model: ScoringModel, work: Work, max_tokens: int) -> list[tuple[float, ...]]:
    """Each job's scores in the order of its rows; natural log scale, higher is better.

    One pass; several, each within `max_tokens`, where a single list alone is more than that.
    """
    scores: list[float] = []
    for part in _passes(work.rows, max_tokens):
        scores += model.score(work.rows[part], work.adapters, work.row_adapters[part]).tolist()
    return [tuple(scores[place] for place in places) for places in work.places]


def _passes(rows: Sequence[EncodedRow], max_tokens: int) -> Iterator[slice]:
    start = tokens = 0
    for i, row in enumerate(rows):
        if i > start and tokens + row.num_tokens > max_tokens:
            yield slice(start, i)
            start, tokens = i, 0
        tokens += row.num_tokens
    yield slice(start, len(rows))
