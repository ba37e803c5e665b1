"""lorb_server.engine.scheduling.scheduler: which lists go into which batch, on a simulated clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb_server.call import Priority
from lorb_server.engine.scheduling.credit import CREDIT_DIVISOR
from support.engine.scheduled_lists import (
    ADMITTED,
    cuttable,
    entry,
    make_scheduler,
    name_of,
    names,
    offer_all,
    timed_scheduler,
)


def test_earliest_deadline_goes_first():
    """Lists are taken by earliest deadline, not in order of arrival."""
    scheduler = make_scheduler(batch=10)
    offer_all(scheduler, entry("late", answer_by=9), entry("soon", answer_by=3), entry("later", answer_by=12))
    order = [names(scheduler.take(0).entries) for _ in range(3)]
    assert order == [["soon"], ["late"], ["later"]]


def test_equal_deadlines_go_in_order_of_arrival():
    """Lists with equal deadlines are taken in order of arrival."""
    scheduler = make_scheduler()
    offer_all(scheduler, *(entry(f"{i}", tokens=1) for i in range(50)))
    assert names(scheduler.take(0).entries) == [f"{i}" for i in range(50)]


def test_a_pass_keeps_to_its_budget_in_whole_lists():
    """A list that does not fit into the batch waits whole, and no later list overtakes it."""
    scheduler = make_scheduler(batch=100)
    offer_all(scheduler, entry("a", 60, 1), entry("b", 50, 2), entry("c", 30, 3))
    assert names(scheduler.take(0).entries) == ["a"]
    assert names(scheduler.take(0).entries) == ["b", "c"]


def test_a_list_larger_than_the_budget_goes_alone():
    """A list larger than the budget is a batch of its own."""
    scheduler = make_scheduler(batch=100)
    offer_all(scheduler, entry("huge", 500, 1), entry("small", 1, 2))
    assert names(scheduler.take(0).entries) == ["huge"]
    assert names(scheduler.take(0).entries) == ["small"]


def test_overdue_lists_are_not_put_into_a_batch():
    """An overdue list is returned as too late and takes no room in the batch."""
    scheduler = make_scheduler(batch=10)
    offer_all(
        scheduler,
        entry("over", answer_by=4.9),
        entry("bulk over", answer_by=4, bulk=True),
        entry("fine", answer_by=6),
    )
    batch = scheduler.take(5.0)
    assert names(batch.entries) == ["fine"]
    assert sorted(names(batch.too_late)) == ["bulk over", "over"]
    assert scheduler.queued_tokens == 0


def test_a_list_is_cut_at_its_turn():
    """A list that no longer fits before its deadline is cut at its turn, or returned as too late."""
    scheduler = timed_scheduler()
    late, too_late = cuttable("late", 20, 20, 20, answer_by=0.2), cuttable("too late", 20, 20, 20, answer_by=0.21)
    offer_all(scheduler, late, too_late)
    batch = scheduler.take(0.145)
    assert names(batch.entries) == ["late"]
    assert late.num_hypotheses == 2
    batch = scheduler.take(0.195)
    assert names(batch.too_late) == ["too late"]


def test_a_pass_is_no_longer_than_the_earliest_deadline_in_it():
    """A batch ends before the earliest deadline in it."""
    scheduler = timed_scheduler()
    offer_all(scheduler, entry("tight", 100, answer_by=0.15), entry("easy", 100, answer_by=9.0))
    assert names(scheduler.take(0.0).entries) == ["tight"]
    assert names(scheduler.take(0.11).entries) == ["easy"]


def test_a_pass_of_several_lists_keeps_to_its_seconds():
    """A batch of several lists keeps to `max_pass_seconds`; a single list may exceed it."""
    scheduler = timed_scheduler(max_pass_seconds=0.1)
    offer_all(scheduler, *(entry(f"{i}", 40, answer_by=90.0 + i) for i in range(4)), entry("big", 500, answer_by=99.0))
    assert names(scheduler.take(0.0).entries) == ["0", "1"]
    assert names(scheduler.take(0.0).entries) == ["2", "3"]
    assert names(scheduler.take(0.0).entries) == ["big"]


def test_idle_work_goes_when_nothing_else_waits():
    """Idle lists are taken only when nothing else waits and no pass runs."""
    scheduler = make_scheduler()
    offer_all(scheduler, entry("idle", priority=Priority.IDLE), entry("bulk", bulk=True), entry("single"))
    batch = scheduler.take(0)
    assert sorted(names(batch.entries)) == ["bulk", "single"]
    assert scheduler.take(0).entries == []
    scheduler.finish(batch, 0, 0, read_tokens=0)
    assert names(scheduler.take(0).entries) == ["idle"]


def test_a_cancelled_list_leaves_at_once():
    """A cancelled list frees its tokens and is never taken."""
    scheduler = make_scheduler(queue=10)
    gone = entry("gone")
    offer_all(scheduler, gone)
    assert scheduler.cancel(gone)
    assert not scheduler.cancel(gone)
    assert scheduler.queued_tokens == 0
    offer_all(scheduler, entry("next"))
    assert names(scheduler.take(0).entries) == ["next"]


def test_batch_lists_fill_the_room_that_interactive_ones_leave():
    """Lists of batch calls fill the budget that interactive lists leave."""
    scheduler = make_scheduler(batch=100)
    offer_all(scheduler, entry("bulk", 40, 1, bulk=True), entry("single", 60, 50))
    assert names(scheduler.take(0).entries) == ["single", "bulk"]


def test_interactive_lists_go_before_batch_lists():
    """Interactive lists go before lists of batch calls, whatever their deadlines."""
    scheduler = make_scheduler(batch=60)
    offer_all(scheduler, entry("bulk", 60, 1, bulk=True), entry("single", 60, 50))
    assert names(scheduler.take(0).entries) == ["single"]


@pytest.mark.parametrize("tokens", [1, 10, 100, 350])
def test_batch_lists_do_not_starve(tokens):
    """Under constant interactive load, a list of a batch call is taken once its credit covers it."""
    scheduler = make_scheduler(batch=100, queue=10_000)
    offer_all(scheduler, entry("bulk", tokens, bulk=True), *(entry(f"first.{i}", 100) for i in range(3)))
    passes = 1
    while "bulk" not in names(scheduler.take(0).entries):
        offer_all(scheduler, *(entry(f"{passes}.{i}", 100) for i in range(3)))
        passes += 1
        assert passes <= 1 + tokens / (100 // CREDIT_DIVISOR) + 1
    assert passes > tokens / (100 // CREDIT_DIVISOR)  # each pass without it earned credit


def test_oldest_age_counts_from_the_first_that_still_waits():
    """The oldest age is that of the longest-waiting list of a priority; 0 if none waits."""
    scheduler = make_scheduler()
    first = entry("first", answer_by=90, at=10.0)
    offer_all(
        scheduler, first, entry("second", answer_by=50, at=12.0), entry("third", answer_by=50, at=11.0, bulk=True)
    )
    assert scheduler.oldest_age_seconds(Priority.INTERACTIVE, 15.0) == 5.0
    assert scheduler.oldest_age_seconds(Priority.BATCH, 15.0) == 4.0
    scheduler.cancel(first)
    assert scheduler.oldest_age_seconds(Priority.INTERACTIVE, 15.0) == 3.0
    assert sorted(names(scheduler.clear())) == ["second", "third"]
    assert scheduler.oldest_age_seconds(Priority.INTERACTIVE, 15.0) == 0.0


actions = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), st.integers(1, 150), st.integers(0, 30), st.booleans()),
        st.tuples(st.just("cancel"), st.integers(0, 200)),
        st.tuples(st.just("take"), st.integers(0, 3)),
    ),
    max_size=80,
)


@given(actions)
def test_every_list_leaves_exactly_once(steps):
    """Each admitted list is taken, expired or cancelled exactly once, and the token count agrees."""
    scheduler = make_scheduler(batch=100, queue=400, bulk_queue=300)
    now, waiting, left = 0.0, [], []
    for step in steps:
        if step[0] == "offer":
            one = entry(str(len(waiting) + len(left)), step[1], now + step[2], bulk=step[3], at=now)
            if scheduler.offer(one, now) is ADMITTED:
                waiting.append(one)
        elif step[0] == "cancel" and waiting:
            one = waiting[step[1] % len(waiting)]
            assert scheduler.cancel(one)
            waiting.remove(one)
        elif step[0] == "take":
            now += step[1]
            batch = scheduler.take(now)
            assert all(each.call.answer_by <= now for each in batch.too_late)
            assert all(each.call.answer_by >= now for each in batch.entries)
            if len(batch.entries) > 1:
                assert sum(each.tokens for each in batch.entries) <= 100
            assert batch.entries or not (set(waiting) - set(batch.too_late))
            for each in (*batch.entries, *batch.too_late):
                waiting.remove(each)
                left.append(each)
        assert scheduler.queued_tokens == sum(each.tokens for each in waiting)
        assert scheduler.queued_lists == len(waiting)
    assert set(scheduler.clear()) == set(waiting)


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 50)), max_size=40))
def test_interactive_lists_are_taken_in_order_of_deadline(lists):
    """Over all batches, lists are taken by deadline bucket, then in order of arrival."""
    scheduler = make_scheduler(batch=60, queue=100_000)
    entries = [entry(str(i), tokens, deadline) for i, (tokens, deadline) in enumerate(lists)]
    offer_all(scheduler, *entries)
    taken = []
    while batch := scheduler.take(0.0).entries:
        taken += batch
    assert taken == sorted(entries, key=lambda each: (each.bucket, int(name_of(each))))
