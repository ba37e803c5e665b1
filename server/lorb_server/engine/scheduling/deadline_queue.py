"""The lists that wait for the model, ordered by deadline in buckets of 10 ms."""

import asyncio
import heapq
import math
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from lorb_adapters.lora.weights import AdapterWeights
from lorb_adapters.text import EncodedHypothesis
from lorb_server.call import Call, Scored

BUCKET_SECONDS = 0.01
WINDOW_BUCKETS = 1024  # about ten seconds; deadlines after this window count as later than all deadlines inside it


def bucket_of(answer_by: float) -> int:
    """The number of the bucket that holds a deadline."""
    return math.floor(answer_by / BUCKET_SECONDS)


@dataclass(slots=True, eq=False)
class Entry:
    """A call in the queue.

    Attributes:
        call: the list, with its deadline, priority and adapter.
        hypotheses: the list's hypotheses that have no cached score, in first-pass order; at least one.
        minimum_hypotheses: an answer needs the scores of this many of `hypotheses`; all if it may not be partial.
        weights: the adapter's weights, on the model's device.
        cumulative_tokens: element k is the number of tokens of `hypotheses` 0 to k.
        num_hypotheses: how many of `hypotheses`, from the first on, are to be scored.
        is_probe: whether the list is scored although it is predicted to be late, because the prediction may be wrong.
        enqueued_at: when the list was queued; seconds on the monotonic clock.
        future: receives the scores or an error.
    """

    call: Call
    hypotheses: Sequence[EncodedHypothesis]
    minimum_hypotheses: int
    weights: AdapterWeights
    cumulative_tokens: tuple[int, ...] = field(init=False)
    num_hypotheses: int = field(init=False)
    is_probe: bool = field(default=False, init=False)
    enqueued_at: float = field(default=0.0, init=False)
    future: asyncio.Future[Scored] = field(init=False)

    def __post_init__(self) -> None:
        self.cumulative_tokens = tuple(accumulate(each.num_tokens for each in self.hypotheses))
        self.num_hypotheses = len(self.hypotheses)

    @property
    def tokens(self) -> int:
        """Tokens of the hypotheses that are to be scored."""
        return self.cumulative_tokens[self.num_hypotheses - 1]

    @property
    def minimum_tokens(self) -> int:
        """Tokens of the first `minimum_hypotheses` hypotheses."""
        return self.cumulative_tokens[self.minimum_hypotheses - 1]

    @property
    def bucket(self) -> int:
        """The number of the bucket that holds the call's deadline."""
        return bucket_of(self.call.answer_by)


class DeadlineQueue:
    """The waiting entries. The earliest bucket is served first, and the entries of a bucket in order of arrival.

    Attributes:
        tokens: tokens of all entries.
        domain_tokens: tokens of the entries of each domain.
    """

    def __init__(self) -> None:
        self.tokens = 0
        self.domain_tokens: defaultdict[str, int] = defaultdict(int)
        self._arrivals: OrderedDict[Entry, bool] = OrderedDict()  # True if the entry's tokens are in `_window`
        self._buckets: dict[int, OrderedDict[Entry, None]] = {}
        self._heap: list[int] = []  # bucket numbers, including buckets that are empty by now
        self._window = [0] * WINDOW_BUCKETS  # tokens by bucket number modulo WINDOW_BUCKETS
        self._first_bucket = 0  # the window's first; only entries that were overdue on arrival lie before it

    def __len__(self) -> int:
        return len(self._arrivals)

    def __contains__(self, entry: Entry) -> bool:
        return entry in self._arrivals

    def add(self, entry: Entry) -> None:
        """Queues `entry`. Call `advance` or `pop_expired` with the current time first."""
        bucket = entry.bucket
        if bucket not in self._buckets:
            self._buckets[bucket] = OrderedDict()
            heapq.heappush(self._heap, bucket)
        self._buckets[bucket][entry] = None
        in_window = self._is_in_window(bucket)
        self._arrivals[entry] = in_window
        self._count(entry, entry.tokens, in_window=in_window)

    def remove(self, entry: Entry) -> bool:
        """Takes `entry` out of the queue; False if `entry` is not in the queue."""
        in_window = self._arrivals.pop(entry, None)
        if in_window is None:
            return False
        bucket = entry.bucket
        del self._buckets[bucket][entry]
        if not self._buckets[bucket]:
            del self._buckets[bucket]
        self._count(entry, -entry.tokens, in_window=in_window)
        return True

    def head(self) -> Entry | None:
        """The entry that is served next; None if the queue is empty."""
        while self._heap and self._heap[0] not in self._buckets:
            heapq.heappop(self._heap)
        return next(iter(self._buckets[self._heap[0]])) if self._heap else None

    def advance(self, now: float) -> None:
        """Moves the window to the current time, or to the earliest entry if this entry is overdue. Removes no entry."""
        head = self.head()
        current = bucket_of(now)
        self._first_bucket = max(self._first_bucket, current if head is None else min(current, head.bucket))

    def pop_expired(self, now: float) -> list[Entry]:
        """Takes out the entries whose bucket is over; entries of the current bucket stay."""
        current = bucket_of(now)
        expired = []
        while (entry := self.head()) is not None and entry.bucket < current:
            self.remove(entry)
            expired.append(entry)
        self._first_bucket = max(self._first_bucket, current)
        return expired

    def tokens_ahead(self, bucket: int) -> int:
        """Tokens of the entries that are served before a new entry with a deadline in `bucket`.

        An entry that was beyond the window on arrival counts as served after every entry inside the window.
        """
        if not self._is_in_window(bucket):
            return self.tokens
        start, stop = self._first_bucket % WINDOW_BUCKETS, bucket % WINDOW_BUCKETS + 1
        if start < stop:
            return sum(self._window[start:stop])
        return sum(self._window[start:]) + sum(self._window[:stop])

    def oldest(self) -> Entry | None:
        """The entry that has waited longest; None if the queue is empty."""
        return next(iter(self._arrivals), None)

    def entries(self) -> list[Entry]:
        """All entries, in order of arrival."""
        return list(self._arrivals)

    def _is_in_window(self, bucket: int) -> bool:
        return self._first_bucket <= bucket < self._first_bucket + WINDOW_BUCKETS

    def _count(self, entry: Entry, tokens: int, *, in_window: bool) -> None:
        self.tokens += tokens
        if in_window:
            self._window[entry.bucket % WINDOW_BUCKETS] += tokens
        domain = entry.call.adapter.ref.domain
        self.domain_tokens[domain] += tokens
        if not self.domain_tokens[domain]:
            del self.domain_tokens[domain]
