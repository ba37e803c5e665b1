"""lorb_server.engine.scheduling.deadline_queue: order, sums and expiry of the lists that wait."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lorb_server.engine.scheduling.deadline_queue import BUCKET_SECONDS, WINDOW_BUCKETS, DeadlineQueue
from support.engine.scheduled_lists import entry, name_of


def test_entries_of_a_bucket_are_served_in_order_of_arrival():
    """Within a bucket entries are served in order of arrival, across buckets by deadline."""
    queue = DeadlineQueue()
    for name, answer_by in (("a", 1.009), ("b", 1.001), ("c", 0.99)):
        queue.add(entry(name, answer_by=answer_by))
    order = []
    while (head := queue.head()) is not None:
        queue.remove(head)
        order.append(name_of(head))
    assert order == ["c", "a", "b"]


def test_beyond_the_window_all_else_is_ahead():
    """A deadline later than the window counts as behind all entries."""
    queue = DeadlineQueue()
    queue.add(entry("near", 5, answer_by=1.0))
    queue.add(entry("far", 7, answer_by=1e6))
    far = entry("farther", 1, answer_by=2e6)
    assert queue.tokens_ahead(far.bucket) == 12
    assert queue.tokens_ahead(entry("new", answer_by=2.0).bucket) == 5


def test_cancelled_entries_leave_no_trace():
    """Thousands of cancelled entries leave no bucket, heap item or domain behind."""
    queue = DeadlineQueue()
    for i in range(3000):
        one = entry(f"{i}", answer_by=50.0 + i % 3)
        queue.add(one)
        assert queue.remove(one)
        assert not queue.remove(one)
        queue.head()
    assert not queue._buckets
    assert len(queue._heap) <= 1
    assert not queue.domain_tokens


class QueueMachine(RuleBasedStateMachine):
    """The queue against a plain list of entries, while time passes."""

    def __init__(self):
        super().__init__()
        self.queue = DeadlineQueue()
        self.model = []
        self.now = 0.0

    @rule(
        slack=st.floats(0, 1.5 * WINDOW_BUCKETS * BUCKET_SECONDS),
        tokens=st.integers(1, 50),
        domain=st.sampled_from("ab"),
        expires=st.booleans(),
    )
    def add(self, slack, tokens, domain, expires):
        if expires:
            self.expire()
        else:
            self.queue.advance(self.now)
        one = entry("x", tokens, self.now + slack, domain=domain)
        self.queue.add(one)
        self.model.append((one, one.bucket < self.queue._first_bucket + WINDOW_BUCKETS))

    @precondition(lambda self: self.model)
    @rule(place=st.integers(0, 1000))
    def remove(self, place):
        one, _ = self.model.pop(place % len(self.model))
        assert self.queue.remove(one)

    @rule(seconds=st.sampled_from([0.0, 0.004, 0.3, 9.0, 100.0, -5.0]), expires=st.booleans())
    def pass_time(self, seconds, expires):
        self.now = max(0.0, self.now + seconds)
        if expires:
            self.expire()

    def expire(self):
        gone = self.queue.pop_expired(self.now)
        assert all(one.call.answer_by <= self.now for one in gone)
        self.model = [pair for pair in self.model if pair[0] not in gone]

    @invariant()
    def sums_agree(self):
        entries = [one for one, _ in self.model]
        assert len(self.queue) == len(entries)
        assert self.queue.tokens == sum(one.tokens for one in entries)
        for domain in "ab":
            assert self.queue.domain_tokens.get(domain, 0) == sum(
                one.tokens for one in entries if one.call.adapter.ref.domain == domain
            )
        assert self.queue.oldest() is (entries[0] if entries else None)

    @invariant()
    def the_head_has_the_earliest_bucket(self):
        head = self.queue.head()
        assert (head is None) == (not self.model)
        if head is not None:
            assert head.bucket == min(one.bucket for one, _ in self.model)

    @precondition(lambda self: all(near for _, near in self.model))
    @invariant()
    def tokens_ahead_are_those_due_first(self):
        for one, _ in self.model:
            if one.bucket >= self.queue._first_bucket:
                ahead = sum(other.tokens for other, _ in self.model if other.bucket <= one.bucket)
                late = sum(other.tokens for other, _ in self.model if other.bucket < self.queue._first_bucket)
                assert self.queue.tokens_ahead(one.bucket) == ahead - late


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
