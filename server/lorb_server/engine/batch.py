"""A batch: the lists that are scored together, packed so that equal hypotheses are scored once, and its shares."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from lorb_adapters.lora.weights import AdapterWeights
from lorb_adapters.model import ScoresFuture
from lorb_adapters.text import EncodedHypothesis
from lorb_server.call import Priority
from lorb_server.engine.scheduling.deadline_queue import Entry


@dataclass(slots=True, eq=False)
class Batch:
    """Lists that are scored together, in one share for each worker that scores them.

    The scheduler fills `entries`, `too_late` and `num_workers`. `pack` fills `rows`.

    Attributes:
        entries: the lists.
        tokens: tokens of the hypotheses in `entries`; equal hypotheses count each time.
        earliest_deadline: the earliest deadline of the lists that are not probes; seconds on the monotonic clock.
        too_late: lists that left the queue unscored, because they could not be scored in time.
        num_workers: the number of workers among which the hypotheses are shared out.
        rows: the hypotheses that the model reads, without repetitions.
        row_adapters: for each row, an index into `adapters`.
        adapters: the weights of the adapters in the batch; weights with the same digest occur once.
        score_rows: for each entry, the indices into `rows` of the entry's hypotheses.
        row_scores: the score of each row that has been scored.
        num_open: the number of shares that have not ended.
        error: what the model raised on a share; None if it raised nothing.
        started_at: when the first share was launched; seconds on the monotonic clock.
    """

    entries: list[Entry] = field(default_factory=list)
    tokens: int = 0
    earliest_deadline: float = math.inf
    too_late: list[Entry] = field(default_factory=list)
    num_workers: int = 1
    rows: list[EncodedHypothesis] = field(default_factory=list)
    row_adapters: list[int] = field(default_factory=list)
    adapters: list[AdapterWeights] = field(default_factory=list)
    score_rows: list[list[int]] = field(default_factory=list)
    row_scores: list[float] = field(default_factory=list)
    num_open: int = 0
    error: Exception | None = None
    started_at: float = 0.0

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> "Batch":
        """A packed batch of these lists."""
        batch = cls()
        for entry in entries:
            batch.add(entry)
        batch.pack()
        return batch

    @property
    def read_tokens(self) -> int:
        """Tokens of `rows`."""
        return sum(row.num_tokens for row in self.rows)

    @property
    def num_deduplicated(self) -> int:
        """Number of hypotheses that share the row of an equal hypothesis."""
        return sum(map(len, self.score_rows)) - len(self.rows)

    @property
    def is_verification(self) -> bool:
        """Whether the batch holds hypotheses of golden lists, and no list of a call."""
        return bool(self.entries) and self.entries[0].call.priority is Priority.VERIFICATION

    def add(self, entry: Entry) -> None:
        """Adds a list."""
        self.entries.append(entry)
        self.tokens += entry.tokens
        if not entry.is_probe:
            self.earliest_deadline = min(self.earliest_deadline, entry.call.answer_by)

    def pack(self) -> None:
        """Fills `rows` from `entries`. Equal hypotheses under equal weights share a row, also across lists."""
        adapter_numbers: dict[str, int] = {}
        row_numbers: dict[tuple[object, ...], int] = {}
        for entry in self.entries:
            adapter = adapter_numbers.setdefault(entry.call.adapter.ref.digest, len(adapter_numbers))
            if adapter == len(self.adapters):
                self.adapters.append(entry.weights)
            numbers = []
            for row in entry.hypotheses[: entry.num_hypotheses]:
                key = (adapter, row.token_ids, row.type_ids, row.scored_from)
                number = row_numbers.setdefault(key, len(row_numbers))
                if number == len(self.rows):
                    self.rows.append(row)
                    self.row_adapters.append(adapter)
                numbers.append(number)
            self.score_rows.append(numbers)

    def shares(self) -> "list[Share]":
        """Packs the batch and shares its rows out, so that each share has about as many tokens. No share is empty."""
        self.pack()
        self.row_scores = [math.nan] * len(self.rows)
        self.num_open = min(self.num_workers, len(self.rows))
        if self.num_open <= 1:
            return [Share(self, [*range(len(self.rows))])] if self.rows else []
        numbers: list[list[int]] = [[] for _ in range(self.num_open)]
        tokens = [0] * self.num_open
        for number in sorted(range(len(self.rows)), key=lambda each: -self.rows[each].num_tokens):
            smallest = tokens.index(min(tokens))
            numbers[smallest].append(number)
            tokens[smallest] += self.rows[number].num_tokens
        return [Share(self, sorted(each)) for each in numbers]

    def scores_by_list(self, row_scores: Sequence[float]) -> list[tuple[float, ...]]:
        """Returns each list's scores in the order of its hypotheses. `row_scores` has the score of each row."""
        return [tuple(row_scores[number] for number in numbers) for numbers in self.score_rows]


@dataclass(slots=True, eq=False)
class Share:
    """The rows of a batch that one worker scores, in one pass or, beyond the token budget, in several.

    Attributes:
        batch: the batch.
        row_numbers: indices into `batch.rows`.
        scores: the score of each row, which the device may still be computing; None if no pass was launched.
        started_at: when the share was launched; seconds on the monotonic clock.
    """

    batch: Batch
    row_numbers: list[int]
    scores: ScoresFuture | None = None
    started_at: float = 0.0

    @property
    def rows(self) -> list[EncodedHypothesis]:
        """The hypotheses."""
        return [self.batch.rows[number] for number in self.row_numbers]

    @property
    def row_adapters(self) -> list[int]:
        """For each row, an index into `batch.adapters`."""
        return [self.batch.row_adapters[number] for number in self.row_numbers]

    @property
    def tokens(self) -> int:
        """Tokens of the rows."""
        return sum(self.batch.rows[number].num_tokens for number in self.row_numbers)

    @property
    def is_ready(self) -> bool:
        """False while the device still computes the launched pass."""
        return self.scores is None or self.scores.is_ready
