"""Lists that wait, by deadline in coarse buckets. No operation grows with how many wait."""

import heapq
import math
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from lorb_server.call import Priority

BUCKET_SECONDS = 0.01
WHEEL_BUCKETS = 1024  # about ten seconds; whoever has longer stands behind all of those

Payload = TypeVar("Payload")


def bucket_of(answer_by: float) -> int:
    """Which span of time a deadline lies in."""
    return math.floor(answer_by / BUCKET_SECONDS)


@dataclass(slots=True, eq=False)
class Entry(Generic[Payload]):
    """One list that waits.

    Attributes:
        payload: what is to be done.
        cumulative_tokens: the work in its first row, its first two, ...; at least one row, rising.
        answer_by: when its answer must be ready; seconds on the caller's clock.
        lane: who waits for it.
        domain: whom the work is for.
        minimum_rows: the fewest rows worth scoring; all where it is all or nothing.
        enqueued_at: when it was offered; seconds on the same clock.
        num_rows: how many of its rows, from the first, are to be scored.
        is_probe: goes whatever is predicted, so that a prediction gone wrong is found out.
    """

    payload: Payload
    cumulative_tokens: Sequence[int]
    answer_by: float
    lane: Priority
    domain: str
    minimum_rows: int
    enqueued_at: float
    num_rows: int = field(init=False)
    is_probe: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.num_rows = len(self.cumulative_tokens)

    @property
    def tokens(self) -> int:
        """The work in the rows that are to be scored."""
        return self.cumulative_tokens[self.num_rows - 1]

    @property
    def bucket(self) -> int:
        """Which span of time its deadline lies in."""
        return bucket_of(self.answer_by)


class DeadlineQueue(Generic[Payload]):
    """Waiting entries: the earliest bucket first, within a bucket by arrival."""

    def __init__(self) -> None:
        self.tokens = 0
        self.domain_tokens: defaultdict[str, int] = defaultdict(int)
        self._arrivals: OrderedDict[Entry[Payload], bool] = OrderedDict()  # True: its tokens are on the wheel
        self._buckets: dict[int, OrderedDict[Entry[Payload], None]] = {}
        self._heap: list[int] = []  # of bucket numbers; may still hold some that are empty by now
        self._wheel = _Wheel()
        self._first_bucket = 0  # of the wheel; nobody waits before it but who came late

    def __len__(self) -> int:
        return len(self._arrivals)

    def __contains__(self, entry: Entry[Payload]) -> bool:
        return entry in self._arrivals

    def add(self, entry: Entry[Payload]) -> None:
        """Lets `entry` wait. Call `advance` or `pop_expired` with the present time before."""
        bucket = entry.bucket
        if bucket not in self._buckets:
            self._buckets[bucket] = OrderedDict()
            heapq.heappush(self._heap, bucket)
        self._buckets[bucket][entry] = None
        on_wheel = self._is_on_wheel(bucket)
        if on_wheel:
            self._wheel.add(bucket, entry.tokens)
        self._arrivals[entry] = on_wheel
        self._count(entry, entry.tokens)

    def remove(self, entry: Entry[Payload]) -> bool:
        """Takes `entry` out; False where it waits no longer."""
        on_wheel = self._arrivals.pop(entry, None)
        if on_wheel is None:
            return False
        bucket = entry.bucket
        del self._buckets[bucket][entry]
        if not self._buckets[bucket]:
            del self._buckets[bucket]
        if on_wheel:
            self._wheel.add(bucket, -entry.tokens)
        self._count(entry, -entry.tokens)
        return True

    def head(self) -> Entry[Payload] | None:
        """Who goes next."""
        while self._heap and self._heap[0] not in self._buckets:
            heapq.heappop(self._heap)
        return next(iter(self._buckets[self._heap[0]])) if self._heap else None

    def advance(self, now: float) -> None:
        """Moves the wheel on to the present, or to whoever waits for less: nobody leaves."""
        head = self.head()
        running = bucket_of(now)
        self._first_bucket = max(self._first_bucket, running if head is None else min(running, head.bucket))

    def pop_expired(self, now: float) -> list[Entry[Payload]]:
        """Takes out those whose bucket is over; in the bucket that is running nobody is looked at."""
        running = bucket_of(now)
        expired = []
        while (entry := self.head()) is not None and entry.bucket < running:
            self.remove(entry)
            expired.append(entry)
        self._first_bucket = max(self._first_bucket, running)
        return expired

    def tokens_ahead(self, bucket: int) -> int:
        """The work that goes before a newcomer with a deadline in `bucket`.

        What was beyond the wheel when it came counts as behind all that was not.
        """
        if not self._is_on_wheel(bucket):
            return self.tokens
        return self._wheel.between(self._first_bucket, bucket)

    def oldest(self) -> Entry[Payload] | None:
        """Who has waited longest."""
        return next(iter(self._arrivals), None)

    def entries(self) -> list[Entry[Payload]]:
        """All that wait, by arrival."""
        return list(self._arrivals)

    def _is_on_wheel(self, bucket: int) -> bool:
        return self._first_bucket <= bucket < self._first_bucket + WHEEL_BUCKETS

    def _count(self, entry: Entry[Payload], tokens: int) -> None:
        self.tokens += tokens
        self.domain_tokens[entry.domain] += tokens
        if not self.domain_tokens[entry.domain]:
            del self.domain_tokens[entry.domain]


class _Wheel:
    """Sums over runs of consecutive buckets in a window that moves on: a Fenwick tree on a ring."""

    def __init__(self) -> None:
        self._tree = [0] * (WHEEL_BUCKETS + 1)

    def add(self, bucket: int, tokens: int) -> None:
        i = bucket % WHEEL_BUCKETS + 1
        while i <= WHEEL_BUCKETS:
            self._tree[i] += tokens
            i += i & -i

    def between(self, first: int, last: int) -> int:
        """Tokens in buckets `first` to `last`, both included; at most one turn of the ring."""
        start, stop = first % WHEEL_BUCKETS, last % WHEEL_BUCKETS + 1
        if start < stop:
            return self._before(stop) - self._before(start)
        return self._before(stop) + self._before(WHEEL_BUCKETS) - self._before(start)

    def _before(self, i: int) -> int:
        total = 0
        while i:
            total += self._tree[i]
            i -= i & -i
        return total
