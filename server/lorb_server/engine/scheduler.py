"""Which lists go into the next pass of the model: a pure core without threads, driven by times passed in.

A list is one unit: it is scored in one pass, unless it alone is more than a pass holds. What cannot be ready by
its deadline is found out when it comes and again when its turn comes, before work is spent on it: where that is
allowed it is cut to the likeliest rows that can, else it is turned away.

Single lists go by earliest deadline. Lists of batch calls stand behind them but do not starve: each pass that
leaves one waiting earns them credit, and a list that the credit covers goes first. Idle work goes when nothing
else waits.
"""

import enum
import math
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from lorb_server.call import Priority
from lorb_server.engine.cost_model import CostModel
from lorb_server.engine.deadline_queue import DeadlineQueue, Entry, bucket_of

BULK_SHARE = 8  # of so many tokens, batch lists get at least one, however many single lists there are
# A domain may have so many times the room that is left free: the dynamic threshold of Choudhury and Hahne (1998)
# for shared buffers. One domain alone gets 2/3 of the queue, two busy ones 2/5 each. 1 to 4 were simulated at two and
# four times capacity (tests/server/test_scheduler_overload.py): the useful work hardly differs, a modest domain's does.
FAIR_SHARE = 2
PROBE_SECONDS = 1.0  # how long an idle model may go on turning lists away on the strength of old passes

Payload = TypeVar("Payload")


class Admission(enum.Enum):
    """What became of an offer."""

    ADMITTED = "admitted"
    QUEUE_FULL = "queue_full"
    TOO_LATE = "too_late"


@dataclass(slots=True)
class Batch(Generic[Payload]):
    """What `take` found.

    Attributes:
        entries: the lists of the next pass.
        tokens: the work in them.
        too_late: lists that left the queue without work.
        earliest: deadline in the pass; seconds.
    """

    entries: list[Entry[Payload]] = field(default_factory=list)
    tokens: int = 0
    too_late: list[Entry[Payload]] = field(default_factory=list)
    earliest: float = math.inf

    def add(self, entry: Entry[Payload]) -> None:
        """Puts a list into the pass."""
        self.entries.append(entry)
        self.tokens += entry.tokens
        if not entry.is_probe:
            self.earliest = min(self.earliest, entry.answer_by)


class Scheduler(Generic[Payload]):
    """The bounded queue before the model. Not thread-safe."""

    def __init__(
        self,
        *,
        max_batch_tokens: int,
        max_queue_tokens: int,
        max_bulk_queue_tokens: int,
        max_pass_seconds: float = math.inf,
        max_queue_seconds: float = math.inf,
    ) -> None:
        """A list alone may exceed `max_batch_tokens` and `max_pass_seconds`; together lists do not."""
        self.max_batch_tokens = max_batch_tokens
        self.cost = CostModel()
        self._max_tokens = {
            Priority.INTERACTIVE: max_queue_tokens,
            Priority.BATCH: max_bulk_queue_tokens,
            Priority.IDLE: math.inf,
        }
        self._max_pass_seconds = max_pass_seconds
        self._max_queue_seconds = max_queue_seconds
        self._lanes: dict[Priority, DeadlineQueue[Payload]] = {lane: DeadlineQueue() for lane in Priority}
        self._bulk_credit_tokens = 0
        self._num_running = 0  # passes taken and not finished
        self._free_at = -math.inf  # when the passes that run are predicted to end, or the last one ended

    def offer(self, entry: Entry[Payload], now: float) -> Admission:
        """Queues `entry`, cut to what can be ready in time where it may be."""
        lane = self._lanes[entry.lane]
        lane.advance(now)  # the model thread, which expires what is late, may be asleep
        if lane.tokens and not _is_fair(entry.tokens, lane, entry.domain, self._max_tokens[entry.lane]):
            return Admission.QUEUE_FULL
        if entry.lane is Priority.INTERACTIVE:
            refusal = self._fit_into_queue(entry, now)
            if refusal is not None:
                return refusal
        lane.add(entry)
        return Admission.ADMITTED

    def can_admit(self, domain: str, lane: Priority, minimum_tokens: int, answer_by: float, now: float) -> Admission:
        """What becomes of a list of at least so many tokens; ADMITTED where only its offer can tell.

        `minimum_tokens` is the fewest that are worth scoring; an offer of a longer list fares no better.
        """
        waiting = self._lanes[lane]
        waiting.advance(now)
        if waiting.tokens and not _is_fair(minimum_tokens, waiting, domain, self._max_tokens[lane]):
            return Admission.QUEUE_FULL
        if lane is not Priority.INTERACTIVE or answer_by == math.inf:
            return Admission.ADMITTED
        free, fair = self._seconds_free(domain, answer_by, now)
        if self.cost.seconds(minimum_tokens) <= fair or (answer_by > now and self._may_probe(now)):
            return Admission.ADMITTED
        return self._refusal(minimum_tokens, free, answer_by - now)

    def cancel(self, entry: Entry[Payload]) -> bool:
        """Takes `entry` out; False where it waits no longer."""
        return self._lanes[entry.lane].remove(entry)

    def take(self, now: float) -> Batch[Payload]:
        """Takes the lists of the next pass, and apart those that cannot be ready in time any more.

        A pass is as long as its budget of tokens and seconds allows and as the earliest deadline in it does.
        """
        batch: Batch[Payload] = Batch()
        for lane in self._lanes.values():
            batch.too_late += lane.pop_expired(now)
        self._take_owed(batch, now)
        self._fill(batch, self._lanes[Priority.INTERACTIVE], now)
        self._fill(batch, self._lanes[Priority.BATCH], now)
        if not batch.entries:
            self._fill(batch, self._lanes[Priority.IDLE], now)
        self._earn_credit()
        if batch.entries:
            self._free_at = self._begins(now) + self.cost.seconds(batch.tokens)
            self._num_running += 1
        return batch

    def finish(self, batch: Batch[Payload], started: float, now: float, *, read_tokens: int) -> None:
        """Says that the pass of `batch` has ended; its duration teaches what the next will take.

        `read_tokens` is what the model read, fewer than the lists have where rows are equal; 0 teaches nothing.
        """
        self.cost.observe(read_tokens, now - started)
        if batch.entries:
            self._num_running -= 1
        if not self._num_running:
            self._free_at = now

    def clear(self) -> list[Entry[Payload]]:
        """Empties the queue and returns what waited."""
        left = [entry for lane in self._lanes.values() for entry in lane.entries()]
        for entry in left:
            self.cancel(entry)
        return left

    @property
    def queued_tokens(self) -> int:
        """Tokens that wait."""
        return sum(lane.tokens for lane in self._lanes.values())

    @property
    def queued_lists(self) -> int:
        """Lists that wait."""
        return sum(map(len, self._lanes.values()))

    def oldest_age_seconds(self, lane: Priority, now: float) -> float:
        """How long the longest-waiting list of a lane has waited; 0 where none waits."""
        oldest = self._lanes[lane].oldest()
        return 0.0 if oldest is None else now - oldest.enqueued_at

    def _fit_into_queue(self, entry: Entry[Payload], now: float) -> Admission | None:
        """Cuts `entry` to what can be ready in time; where that is too little, why it is turned away."""
        free, fair = self._seconds_free(entry.domain, entry.answer_by, now)
        if self._cut(entry, fair):
            return None
        if entry.answer_by > now and self._may_probe(now):
            entry.is_probe = True
            return None
        return self._refusal(entry.cumulative_tokens[entry.minimum_rows - 1], free, entry.answer_by - now)

    def _seconds_free(self, domain: str, answer_by: float, now: float) -> tuple[float, float]:
        """For a single list behind what goes before it: until its deadline, and of that what its domain may take."""
        lane = self._lanes[Priority.INTERACTIVE]
        ahead = self._begins(now) - now + self.cost.seconds_within_passes(lane.tokens_ahead(bucket_of(answer_by)))
        free = min(answer_by - now, self._max_queue_seconds) - ahead
        of_domain = self.cost.seconds_within_passes(lane.domain_tokens.get(domain, 0))
        return free, min(free, FAIR_SHARE * free - of_domain)

    def _refusal(self, minimum_tokens: int, free: float, for_deadline: float) -> Admission:
        """Why a list is turned away: its deadline, or that too much waits already."""
        is_late = for_deadline <= self._max_queue_seconds and self.cost.seconds(minimum_tokens) > free
        return Admission.TOO_LATE if is_late or for_deadline <= 0.0 else Admission.QUEUE_FULL

    def _begins(self, now: float) -> float:
        """When a pass taken now would begin."""
        return max(now, self._free_at) if self._num_running else now

    def _may_probe(self, now: float) -> bool:
        return not self._num_running and not self.queued_lists and now - self._free_at >= PROBE_SECONDS

    def _could(self, entry: Entry[Payload], seconds: float) -> bool:
        return self.cost.seconds(entry.cumulative_tokens[entry.minimum_rows - 1]) <= seconds

    def _cut(self, entry: Entry[Payload], seconds: float) -> bool:
        """Leaves in `entry` the rows that a pass of `seconds` holds; False where they are too few."""
        if self.cost.seconds(entry.tokens) <= seconds:
            return True
        if not self._could(entry, seconds):
            return False
        entry.num_rows = bisect_right(entry.cumulative_tokens, seconds, hi=entry.num_rows, key=self.cost.seconds)
        return True

    def _take_owed(self, batch: Batch[Payload], now: float) -> None:
        lane = self._lanes[Priority.BATCH]
        while (head := lane.head()) is not None and head.tokens <= self._bulk_credit_tokens:
            if not self._take_head(batch, lane, head, now):
                break
            self._bulk_credit_tokens -= head.tokens

    def _fill(self, batch: Batch[Payload], lane: DeadlineQueue[Payload], now: float) -> None:
        while (head := lane.head()) is not None and self._take_head(batch, lane, head, now):
            pass

    def _take_head(self, batch: Batch[Payload], lane: DeadlineQueue[Payload], head: Entry[Payload], now: float) -> bool:
        """Moves a lane's head into the pass, or to those it is too late for; False where the pass is full."""
        if not batch.entries:
            lane.remove(head)
            if head.is_probe or self._cut(head, head.answer_by - self._begins(now)):
                batch.add(head)
            else:
                batch.too_late.append(head)
            return True
        tokens = batch.tokens + head.tokens
        most_seconds = min(self._max_pass_seconds, min(batch.earliest, head.answer_by) - self._begins(now))
        if tokens > self.max_batch_tokens or self.cost.seconds(tokens) > most_seconds:
            return False
        lane.remove(head)
        batch.add(head)
        return True

    def _earn_credit(self) -> None:
        if len(self._lanes[Priority.BATCH]):
            self._bulk_credit_tokens += max(1, self.max_batch_tokens // BULK_SHARE)
        else:
            self._bulk_credit_tokens = 0


def _is_fair(tokens: int, lane: DeadlineQueue[Payload], domain: str, max_tokens: float) -> bool:
    """Whether a lane has room for so many tokens more, and a domain has not taken more than its share of it."""
    room = max_tokens - lane.tokens
    return tokens <= room and lane.domain_tokens.get(domain, 0) + tokens <= FAIR_SHARE * room
