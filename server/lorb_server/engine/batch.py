"""What a pass of the model is made of: the rows of many lists, equal ones once, within the budget."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lorb_adapters.lora.weights import AdapterWeights
from lorb_adapters.text import EncodedHypothesis
from lorb_server.call import Priority


class ScoresFutureLike(Protocol):
    """A pass that the device may still be at: `lorb_adapters.encoder.scores_future.ScoresFuture`."""

    @property
    def is_ready(self) -> bool:
        """Whether `collect` would not wait."""

    def collect(self) -> Tensor:
        """Its scores, [rows]."""


class ScoringModel(Protocol):
    """What serving needs of `lorb_adapters.model.RescoringModel`."""

    def launch(
        self, rows: Sequence[EncodedHypothesis], adapters: Sequence[AdapterWeights], row_adapters: Sequence[int]
    ) -> ScoresFutureLike:
        """Starts a pass; on an accelerator it goes on while the next one is prepared."""

    def score(
        self, rows: Sequence[EncodedHypothesis], adapters: Sequence[AdapterWeights], row_adapters: Sequence[int]
    ) -> Tensor:
        """Scores rows of any mix of adapters in one pass, [rows]."""


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """Rows of one list that the model is to score.

    Attributes:
        rows: at least one, the likeliest first.
        cumulative_tokens: in the first row, the first two, ...
        minimum_rows: the fewest of them worth scoring.
        domain: whom the work is for.
        digest: of the adapter's weights.
        weights: on the model's device.
        answer_by: seconds on the monotonic clock.
        lane: who waits for it.
    """

    rows: Sequence[EncodedHypothesis]
    cumulative_tokens: Sequence[int]
    minimum_rows: int
    domain: str
    digest: str
    weights: AdapterWeights
    answer_by: float
    lane: Priority


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """What one list contributes to a pass: its first rows."""

    request: Request
    num_rows: int


@dataclass(frozen=True, slots=True)
class Work:
    """The rows of some lists, each distinct one once.

    Attributes:
        rows: what is to be scored.
        row_adapters: for each row an index into `adapters`.
        adapters: each once, by digest.
        places: for each list the positions of its rows' scores.
    """

    rows: list[EncodedHypothesis]
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


def gather(shares: Sequence[Share]) -> Work:
    """Puts the lists' rows together; equal rows under equal weights are one, whatever lists they are in."""
    work = Work([], [], [], [])
    adapters: dict[str, int] = {}
    known: dict[tuple[object, ...], int] = {}
    for share in shares:
        request = share.request
        adapter = adapters.setdefault(request.digest, len(adapters))
        if adapter == len(work.adapters):
            work.adapters.append(request.weights)
        places = []
        for row in request.rows[: share.num_rows]:
            place = known.setdefault((adapter, row.token_ids, row.type_ids, row.scored_from), len(known))
            if place == len(work.rows):
                work.rows.append(row)
                work.row_adapters.append(adapter)
            places.append(place)
        work.places.append(places)
    return work


def score(
    model: ScoringModel, work: Work, max_tokens: int, on_out_of_memory: Callable[[], None] = lambda: None
) -> list[tuple[float, ...]]:
    """Each list's scores in the order of its rows; natural log scale, higher is better.

    One pass; several, each within `max_tokens`, where a single list alone is more than that. A pass that the
    device's memory does not hold is told to `on_out_of_memory` and done in halves. Raises what the model raises.
    """
    scores: list[float] = []
    for part in _passes(work.rows, max_tokens):
        scores += _score_part(model, work, part, on_out_of_memory)
    return [tuple(scores[place] for place in places) for places in work.places]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device, or the host, had no room for a pass or an adapter."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)  # torch's CPU allocator


def _score_part(model: ScoringModel, work: Work, part: slice, on_out_of_memory: Callable[[], None]) -> list[float]:
    try:
        scores: list[float] = model.score(work.rows[part], work.adapters, work.row_adapters[part]).tolist()
    except Exception as error:
        if part.stop - part.start == 1 or not is_out_of_memory(error):
            raise
    else:
        return scores
    # outside the handler: there the error's traceback would still hold the tensors that filled the memory
    on_out_of_memory()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = (part.start + part.stop) // 2
    halves = (slice(part.start, middle), slice(middle, part.stop))
    return [score for half in halves for score in _score_part(model, work, half, on_out_of_memory)]


def _passes(rows: Sequence[EncodedHypothesis], max_tokens: int) -> Iterator[slice]:
    start = tokens = 0
    for i, row in enumerate(rows):
        if i > start and tokens + row.num_tokens > max_tokens:
            yield slice(start, i)
            start, tokens = i, 0
        tokens += row.num_tokens
    yield slice(start, len(rows))
