"""Decides which lists may wait for the model, and which go into a worker's next batch.

A batch holds one or more whole lists. If all lists that wait fit into one batch, its hypotheses are shared out among
the idle workers; under load, each worker takes batches of its own. A list's deadline is checked three times: before
tokenisation with a lower bound of its tokens, after tokenisation, and before scoring. A list that cannot be ready in
time is cut to its first hypotheses if its call accepts a partial answer, and refused otherwise.

Interactive lists are taken by earliest deadline. Lists of BatchRescore calls come after the interactive lists, but do
not starve: as soon as their credit covers the tokens of the list at the head of their queue, this list goes before the
interactive lists.

A worker takes golden lists (priority VERIFICATION) and shadow comparisons (priority IDLE) only when no other list waits
and it runs no pass, so that another list waits for at most one of their passes. That pass holds either hypotheses of
golden lists, up to VERIFICATION_PASS_SECONDS, or one list of a shadow comparison. Under constant load the golden lists
progress by a credit of their own; shadow comparisons wait until they are dropped.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator
from functools import partial

from lorb_server.call import Call, Priority
from lorb_server.engine.batch import Batch
from lorb_server.engine.scheduling.admission import FAIR_SHARE, Admission, has_fair_room
from lorb_server.engine.scheduling.credit import Credit
from lorb_server.engine.scheduling.deadline_queue import DeadlineQueue, Entry, bucket_of
from lorb_server.engine.scheduling.forecast import Forecast

# After this idle time the cost model may be outdated: one list is scored although it is predicted to be late.
PROBE_SECONDS = 1.0
# The predicted duration of a pass of golden lists; a pass of one hypothesis may take longer.
VERIFICATION_PASS_SECONDS = 0.05


class Scheduler:
    """The bounded queue before the model. Not thread-safe. Times are passed in, in seconds on the monotonic clock.

    Attributes:
        max_batch_tokens: the token budget of a batch of several lists; a single list may exceed it.
        forecast: the passes that run, and their predicted durations.
    """

    def __init__(
        self,
        *,
        max_batch_tokens: int,
        max_queue_tokens: int,
        max_bulk_queue_tokens: int,
        max_pass_seconds: float = math.inf,
        max_queue_seconds: float = math.inf,
        num_workers: int = 1,
    ) -> None:
        """`max_pass_seconds` limits the predicted duration of a batch of several lists.

        `max_queue_seconds` limits the predicted wait of an interactive list.
        """
        self.max_batch_tokens = max_batch_tokens
        self._max_tokens = {
            Priority.INTERACTIVE: max_queue_tokens,
            Priority.BATCH: max_bulk_queue_tokens,
            Priority.IDLE: math.inf,
            Priority.VERIFICATION: math.inf,
        }
        self._max_pass_seconds = max_pass_seconds
        self._max_queue_seconds = max_queue_seconds
        self._queues = {priority: DeadlineQueue() for priority in Priority}
        self._credits = {priority: Credit() for priority in (Priority.BATCH, Priority.VERIFICATION)}
        self.forecast = Forecast(num_workers)
        self._last_learnt = -math.inf  # when the predictions last learnt from a batch

    def admit(
        self, call: Call, tokens: int, minimum_tokens: int, now: float, *, ignores_deadline: bool = False
    ) -> tuple[Admission, float]:
        """Decides whether a list may wait. Returns the decision, and the seconds that scoring the list may take.

        `tokens` is the list's number of tokens; `minimum_tokens` is how many of them an answer needs.
        Before tokenisation the counts are not known: give a lower bound of `minimum_tokens` for both arguments. A list
        refused with the bound would also be refused with its true counts. With `ignores_deadline`, only the queue's
        room is checked.
        """
        queue = self._queues[call.priority]
        queue.advance(now)  # to the present; `take` does this too, but a worker, which calls it, may be busy
        domain = call.adapter.ref.domain
        if queue.tokens and not has_fair_room(queue, domain, tokens, self._max_tokens[call.priority]):
            return Admission.QUEUE_FULL, 0.0
        if call.priority is not Priority.INTERACTIVE or ignores_deadline:
            return Admission.ADMITTED, math.inf
        free, fair = self._seconds_free(domain, call.answer_by, now)
        minimum_seconds = self.forecast.pass_seconds(minimum_tokens, self._num_idle())
        if minimum_seconds <= fair:
            return Admission.ADMITTED, fair
        seconds_left = call.answer_by - now
        if seconds_left > 0.0 and self._may_probe(now):
            return Admission.PROBE, math.inf
        is_late = seconds_left <= 0.0 or (seconds_left <= self._max_queue_seconds and minimum_seconds > free)
        return (Admission.TOO_LATE if is_late else Admission.QUEUE_FULL), 0.0

    def offer(self, entry: Entry, now: float) -> Admission:
        """Queues a tokenised list, cut to the hypotheses that can be scored in time, unless it is refused."""
        admission, seconds = self.admit(entry.call, entry.tokens, entry.minimum_tokens, now)
        if not admission.is_refusal:
            entry.is_probe = admission is Admission.PROBE
            self._cut(entry, seconds, self._num_idle())
            self._queues[entry.call.priority].add(entry)
        return admission

    def cancel(self, entry: Entry) -> bool:
        """Takes `entry` out of the queue; False if it does not wait any more."""
        return self._queues[entry.call.priority].remove(entry)

    def take(self, now: float, *, worker: int = 0, num_idle: int = 1) -> Batch:
        """Takes the lists of a worker's next batch out of the queue.

        `num_idle` counts the workers that have nothing to do, this one included.

        Lists that can no longer be ready in time leave the queue too; they go into the batch's `too_late`.
        A batch of several lists keeps within the budgets of tokens and seconds, and is predicted to end before the
        earliest deadline of its lists.
        """
        batch = Batch()
        for queue in self._queues.values():
            batch.too_late += queue.pop_expired(now)
        start = self.forecast.next_start(worker, now)
        self._take_credited(batch, Priority.VERIFICATION, start)
        if not batch.entries:
            if self.queued_lists == 1 or self.queued_tokens <= self.max_batch_tokens:
                batch.num_workers = num_idle
            self._take_credited(batch, Priority.BATCH, start)
            self._fill(batch, self._queues[Priority.INTERACTIVE], start)
            self._fill(batch, self._queues[Priority.BATCH], start)
        if not batch.entries and self.forecast.is_idle(worker):
            batch.num_workers = 1
            self._take_in_idle_time(batch, start)
        self._earn_credit(batch)
        if batch.entries:
            self.forecast.begin(worker, -(-batch.tokens // batch.num_workers), now)
        return batch

    def finish(self, batch: Batch, started: float, now: float, *, read_tokens: int, worker: int = 0) -> None:
        """Records the end of a worker's share of a batch; its duration improves the predictions.

        `read_tokens` is the number of tokens that the model read; with 0, the predictions do not learn from the pass.
        They never learn from golden lists: the first pass of an adapter takes longer than its later ones.
        """
        if not batch.is_verification:
            self.forecast.cost.observe(read_tokens, now - started)
            self._last_learnt = now
        if batch.entries:
            self.forecast.end(worker, now)

    def clear(self) -> list[Entry]:
        """Empties the queue and returns the lists that waited."""
        waiting = [entry for queue in self._queues.values() for entry in queue.entries()]
        return [entry for entry in waiting if self.cancel(entry)]

    @property
    def queued_tokens(self) -> int:
        """Tokens in the queue, without golden lists."""
        return sum(queue.tokens for queue in self._live_queues())

    @property
    def queued_lists(self) -> int:
        """Lists in the queue, without golden lists."""
        return sum(map(len, self._live_queues()))

    def oldest_age_seconds(self, priority: Priority, now: float) -> float:
        """How long the longest-waiting list of a priority has waited; 0 if none waits."""
        oldest = self._queues[priority].oldest()
        return 0.0 if oldest is None else now - oldest.enqueued_at

    def _live_queues(self) -> Iterator[DeadlineQueue]:
        return (queue for priority, queue in self._queues.items() if priority is not Priority.VERIFICATION)

    def _seconds_free(self, domain: str, answer_by: float, now: float) -> tuple[float, float]:
        """Returns (free, fair) for an interactive list, in seconds; either may be negative.

        free: the time until the deadline, at most `max_queue_seconds`, less the time that the lists ahead need.
        fair: the part of `free` that the domain may use under FAIR_SHARE.
        """
        queue = self._queues[Priority.INTERACTIVE]
        seconds_ahead = self.forecast.queue_seconds(queue.tokens_ahead(bucket_of(answer_by)))
        ahead = self.forecast.earliest_start(now) - now + seconds_ahead
        free = min(answer_by - now, self._max_queue_seconds) - ahead
        used = self.forecast.queue_seconds(queue.domain_tokens.get(domain, 0))
        return free, min(free, FAIR_SHARE * free - used)

    def _num_idle(self) -> int:  # the workers that will share a list that arrives now
        return self.forecast.num_workers if self._is_idle() else 1

    def _may_probe(self, now: float) -> bool:
        return self._is_idle() and now - self._last_learnt >= PROBE_SECONDS

    def _is_idle(self) -> bool:
        return self.forecast.all_idle and not self.queued_lists

    def _cut(self, entry: Entry, seconds: float, num_workers: int) -> bool:
        """Cuts `entry` to what `num_workers` can score in `seconds`; False if its minimum takes longer."""
        pass_seconds = partial(self.forecast.pass_seconds, num_shares=min(num_workers, entry.num_hypotheses))
        if pass_seconds(entry.tokens) <= seconds:
            return True
        if pass_seconds(entry.minimum_tokens) > seconds:
            return False
        entry.num_hypotheses = bisect_right(entry.cumulative_tokens, seconds, hi=entry.num_hypotheses, key=pass_seconds)
        return True

    def _take_credited(self, batch: Batch, priority: Priority, start: float) -> None:
        queue, credit = self._queues[priority], self._credits[priority]
        while (head := queue.head()) is not None and head.tokens <= credit.tokens:
            if not self._take_head(batch, queue, head, start):
                break
            credit.spend(head.tokens)

    def _take_in_idle_time(self, batch: Batch, start: float) -> None:
        self._fill(batch, self._queues[Priority.VERIFICATION], start)
        shadows = self._queues[Priority.IDLE]
        while not batch.entries and (head := shadows.head()) is not None:
            self._take_head(batch, shadows, head, start)

    def _fill(self, batch: Batch, queue: DeadlineQueue, start: float) -> None:
        while (head := queue.head()) is not None and self._take_head(batch, queue, head, start):
            pass

    def _take_head(self, batch: Batch, queue: DeadlineQueue, head: Entry, start: float) -> bool:
        """Moves a queue's head to `batch.entries` or `batch.too_late`; False if the batch has no room for the head.

        `start`: when the batch is predicted to start.
        """
        if not batch.entries:
            queue.remove(head)
            if head.is_probe or self._cut(head, head.call.answer_by - start, batch.num_workers):
                batch.add(head)
            else:
                batch.too_late.append(head)
            return True
        tokens = batch.tokens + head.tokens
        seconds_to_deadline = min(batch.earliest_deadline, head.call.answer_by) - start
        max_seconds = min(self._max_pass_seconds, seconds_to_deadline)
        if head.call.priority is Priority.VERIFICATION:
            max_seconds = min(max_seconds, VERIFICATION_PASS_SECONDS)
        if tokens > self.max_batch_tokens or self.forecast.pass_seconds(tokens, batch.num_workers) > max_seconds:
            return False
        queue.remove(head)
        batch.add(head)
        return True

    def _earn_credit(self, batch: Batch) -> None:
        for priority, credit in self._credits.items():
            if not (priority is Priority.VERIFICATION and batch.is_verification):
                credit.earn(self.max_batch_tokens, is_waiting=len(self._queues[priority]) > 0)
