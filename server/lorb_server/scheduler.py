"""Which lists go into the next pass of the model: a pure core without threads, driven by times passed in.

A list is one unit. Single lists go by earliest deadline, ties by arrival. Lists of batch calls stand behind
them but do not starve: each pass that leaves one waiting earns them credit, and a list that the credit covers
goes first.
"""

import heapq
import itertools
from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

BULK_SHARE = 8  # of so many tokens, batch lists get at least one, however many single lists there are

Payload = TypeVar("Payload")


@dataclass(slots=True, eq=False)
class Entry(Generic[Payload]):
    """One list that waits.

    Attributes:
        payload: what is to be done.
        tokens: the work in it, at least 1.
        answer_by: when its answer must be ready; seconds on the caller's clock.
        bulk: whether it belongs to a batch call.
        enqueued_at: when it was offered; seconds on the same clock.
    """

    payload: Payload
    tokens: int
    answer_by: float
    bulk: bool
    enqueued_at: float


@dataclass(frozen=True, slots=True)
class Batch(Generic[Payload]):
    """What `take` found: the lists of the next pass, and those it is too late for."""

    entries: list[Entry[Payload]]
    expired: list[Entry[Payload]]


class _Lane(Generic[Payload]):
    """Waiting entries by deadline, then by arrival. No operation is more than logarithmic in their number."""

    def __init__(self, max_tokens: int) -> None:
        self.max_tokens = max_tokens
        self.tokens = 0
        self.waiting: OrderedDict[Entry[Payload], None] = OrderedDict()  # by arrival
        self._heap: list[tuple[float, int, Entry[Payload]]] = []  # may still hold entries that have left
        self._arrivals = itertools.count()

    def add(self, entry: Entry[Payload]) -> bool:
        if self.waiting and self.tokens + entry.tokens > self.max_tokens:
            return False
        heapq.heappush(self._heap, (entry.answer_by, next(self._arrivals), entry))
        self.waiting[entry] = None
        self.tokens += entry.tokens
        return True

    def remove(self, entry: Entry[Payload]) -> bool:
        if entry not in self.waiting:
            return False
        del self.waiting[entry]
        self.tokens -= entry.tokens
        if len(self._heap) > 2 * len(self.waiting) + 64:
            self._heap = [item for item in self._heap if item[2] in self.waiting]
            heapq.heapify(self._heap)
        return True

    def head(self) -> Entry[Payload] | None:
        while self._heap and self._heap[0][2] not in self.waiting:
            heapq.heappop(self._heap)
        return self._heap[0][2] if self._heap else None

    def pop_expired(self, now: float) -> list[Entry[Payload]]:
        expired = []
        while (entry := self.head()) is not None and entry.answer_by <= now:
            self.remove(entry)
            expired.append(entry)
        return expired


class Scheduler(Generic[Payload]):
    """The bounded queue before the model. Not thread-safe."""

    def __init__(self, *, max_batch_tokens: int, max_queue_tokens: int, max_bulk_queue_tokens: int) -> None:
        self.max_batch_tokens = max_batch_tokens
        self._single: _Lane[Payload] = _Lane(max_queue_tokens)
        self._bulk: _Lane[Payload] = _Lane(max_bulk_queue_tokens)
        self._bulk_credit_tokens = 0

    def offer(self, entry: Entry[Payload]) -> bool:
        """Queues `entry`; False where its lane has no room. An empty lane takes a list of any size."""
        return self._lane(entry).add(entry)

    def is_full(self, *, bulk: bool) -> bool:
        """Whether a lane has no room even for the smallest list."""
        lane = self._bulk if bulk else self._single
        return lane.tokens >= lane.max_tokens

    def cancel(self, entry: Entry[Payload]) -> bool:
        """Takes `entry` out; False where it waits no longer."""
        return self._lane(entry).remove(entry)

    def take(self, now: float) -> Batch[Payload]:
        """Takes the lists of the next pass: whole ones, within the token budget, the first whatever its size.

        Entries whose time is over leave the queue too, apart, before any work is spent on them.
        """
        expired = self._single.pop_expired(now) + self._bulk.pop_expired(now)
        chosen: list[Entry[Payload]] = []
        room = self._take_owed(chosen, self.max_batch_tokens)
        room = _fill(chosen, self._single, room)
        _fill(chosen, self._bulk, room)
        self._earn_credit()
        return Batch(chosen, expired)

    def clear(self) -> list[Entry[Payload]]:
        """Empties the queue and returns what waited."""
        left = [*self._single.waiting, *self._bulk.waiting]
        for entry in left:
            self.cancel(entry)
        return left

    @property
    def queued_tokens(self) -> int:
        """Tokens that wait."""
        return self._single.tokens + self._bulk.tokens

    @property
    def queued_lists(self) -> int:
        """Lists that wait."""
        return len(self._single.waiting) + len(self._bulk.waiting)

    def oldest_age_seconds(self, now: float) -> float:
        """How long the longest-waiting list has waited; 0 where none waits."""
        arrived = [next(iter(lane.waiting)).enqueued_at for lane in (self._single, self._bulk) if lane.waiting]
        return max(0.0, now - min(arrived)) if arrived else 0.0

    def _lane(self, entry: Entry[Payload]) -> _Lane[Payload]:
        return self._bulk if entry.bulk else self._single

    def _take_owed(self, chosen: list[Entry[Payload]], room: int) -> int:
        while (head := self._bulk.head()) is not None and head.tokens <= self._bulk_credit_tokens:
            if chosen and head.tokens > room:
                break
            self._bulk.remove(head)
            self._bulk_credit_tokens -= head.tokens
            chosen.append(head)
            room -= head.tokens
        return room

    def _earn_credit(self) -> None:
        if self._bulk.waiting:
            self._bulk_credit_tokens += max(1, self.max_batch_tokens // BULK_SHARE)
        else:
            self._bulk_credit_tokens = 0


def _fill(chosen: list[Entry[Payload]], lane: _Lane[Payload], room: int) -> int:
    """Moves entries from `lane` until one does not fit; a pass never stays empty for want of room."""
    while (head := lane.head()) is not None and (head.tokens <= room or not chosen):
        lane.remove(head)
        chosen.append(head)
        room -= head.tokens
    return room
