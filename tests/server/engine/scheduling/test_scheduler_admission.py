"""lorb_server.engine.scheduling.scheduler: which lists are admitted, whole or cut, on a simulated clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb_server.call import Priority
from lorb_server.engine.scheduling.scheduler import PROBE_SECONDS
from support.engine.scheduled_lists import (
    ADMITTED,
    PROBE,
    QUEUE_FULL,
    TOO_LATE,
    call,
    cuttable,
    entry,
    make_scheduler,
    names,
    offer_all,
    timed_scheduler,
)


def decision(scheduler, domain, tokens, answer_by, now, priority=Priority.INTERACTIVE):
    """The decision on a list that is not tokenised yet and has at least `tokens`."""
    return scheduler.admit(call(domain, answer_by, priority), tokens, tokens, now)[0]


def test_a_full_queue_refuses():
    """A list that exceeds the queue's room is refused, and admitted once there is room."""
    scheduler = make_scheduler(queue=100)
    offer_all(scheduler, entry("a", 60))
    assert scheduler.offer(entry("b", 41), 0) is QUEUE_FULL
    assert scheduler.offer(entry("c", 20), 0) is ADMITTED
    assert decision(scheduler, "d", 1, 100.0, 0) is ADMITTED
    assert scheduler.offer(entry("d", 13), 0) is ADMITTED
    assert decision(scheduler, "a", 1, 100.0, 0) is QUEUE_FULL
    scheduler.take(0)
    assert scheduler.offer(entry("b", 41), 0) is ADMITTED


def test_an_empty_queue_takes_a_list_of_any_size():
    """An empty queue admits a list larger than its bound."""
    assert make_scheduler(queue=100).offer(entry("huge", 5000), 0) is ADMITTED


def test_batch_lists_do_not_fill_the_queue_of_interactive_ones():
    """Lists of batch calls and interactive lists have separate bounds."""
    scheduler = make_scheduler(queue=100, bulk_queue=50)
    offer_all(scheduler, entry("bulk", 50, bulk=True), entry("single", 100))
    assert scheduler.offer(entry("more bulk", 1, bulk=True), 0) is QUEUE_FULL


def test_one_domain_leaves_room_for_others():
    """One domain cannot fill the queue: lists of a second and a third domain are admitted."""
    scheduler = make_scheduler(queue=1000)
    while scheduler.offer(entry("greedy", 10, domain="greedy"), 0) is ADMITTED:
        pass
    assert scheduler.queued_tokens == pytest.approx(667, abs=10)
    while scheduler.offer(entry("modest", 10, domain="modest"), 0) is ADMITTED:
        pass
    assert scheduler.queued_tokens > 800
    assert scheduler.offer(entry("third", 10, domain="third"), 0) is ADMITTED


def test_a_list_that_cannot_be_ready_in_time_is_refused():
    """A list that needs 110 ms is refused with 100 ms left and admitted with 120 ms."""
    scheduler = timed_scheduler()
    assert scheduler.offer(entry("a", 100, answer_by=0.1), 0.0) is TOO_LATE
    assert scheduler.offer(entry("b", 100, answer_by=0.12), 0.0) is ADMITTED


def test_a_list_is_refused_by_a_lower_bound_of_its_tokens():
    """Before tokenisation a list is refused if its lower bound of tokens cannot be scored in time."""
    scheduler = timed_scheduler()
    assert decision(scheduler, "a", 41, 0.05, 0.0) is TOO_LATE
    assert decision(scheduler, "a", 39, 0.05, 0.0) is ADMITTED
    assert decision(scheduler, "a", 41, 0.05, 0.0, Priority.BATCH) is ADMITTED


def test_an_idle_model_is_probed_against_its_prediction():
    """After a second without work an interactive list is admitted as a probe against the prediction."""
    scheduler = timed_scheduler()
    assert decision(scheduler, "a", 500, PROBE_SECONDS + 0.05, PROBE_SECONDS) is PROBE
    assert decision(scheduler, "a", 500, PROBE_SECONDS, PROBE_SECONDS) is TOO_LATE


waiting_lists = st.lists(st.tuples(st.integers(1, 200), st.floats(0.01, 0.5), st.booleans()), max_size=30)


@given(waiting_lists, st.lists(st.integers(1, 60), min_size=2, max_size=8), st.floats(0.0, 0.4), st.floats(0.05, 1.0))
def test_a_list_refused_by_a_lower_bound_is_refused_by_its_tokens(waiting, newcomer, answer_by, max_queue_seconds):
    """A lower bound of the tokens never refuses a list that `offer` admits, and gives the same reason as `offer`."""
    scheduler = timed_scheduler(max_queue_seconds=max_queue_seconds, queue=2000)
    for i, (tokens, by, of_same_domain) in enumerate(waiting):
        scheduler.offer(entry(str(i), tokens, by, domain="a" if of_same_domain else str(i)), 0.0)
    newest = cuttable("new", *newcomer, answer_by=answer_by, domain="a")
    expected = decision(scheduler, "a", newest.cumulative_tokens[1], answer_by, 0.0)
    outcome = scheduler.offer(newest, 0.0)
    assert expected in (ADMITTED, outcome)


def test_only_work_ahead_delays_a_newcomer():
    """The running batch and earlier deadlines delay a newcomer; later deadlines do not."""
    scheduler = timed_scheduler()
    offer_all(scheduler, entry("running", 500, answer_by=50))
    scheduler.take(0.0)  # ends at 0.51
    offer_all(scheduler, entry("behind", 900, answer_by=60), entry("ahead", 200, answer_by=1.0))
    assert scheduler.offer(entry("tight", 100, answer_by=1.05), 0.0) is ADMITTED  # 0.51 + 0.2 + 0.11
    assert scheduler.offer(entry("tighter", 100, answer_by=0.6), 0.0) is TOO_LATE  # 0.51 + 0.11


def admitted_of_two_bursts(idle_seconds: float) -> list[int]:
    scheduler, now = timed_scheduler(batch=100), idle_seconds
    scheduler.take(0.0)
    admitted = []
    for burst in range(2):
        lists = [entry(f"{burst}-{i}", answer_by=idle_seconds + 1.0, at=now) for i in range(300)]
        admitted.append(sum(scheduler.offer(each, now) is ADMITTED for each in lists))
        if burst == 0:
            batch = scheduler.take(now)
            scheduler.finish(batch, now, now + 0.11, read_tokens=batch.tokens)
            now += 0.11
    return admitted


@pytest.mark.parametrize("idle_seconds", [20.0, 1000.0])
def test_a_burst_counts_however_long_the_model_was_idle(idle_seconds):
    """A burst after a long idle time is admitted like a burst after a short one."""
    assert admitted_of_two_bursts(idle_seconds) == admitted_of_two_bursts(1.0)


def test_deadlines_are_compared_behind_a_long_waiting_list():
    """With a long-waiting list in the queue, only earlier deadlines count as ahead of a newcomer."""
    scheduler = timed_scheduler()
    offer_all(
        scheduler, entry("patient", answer_by=60.0), *(entry(f"{due}", 400, due, at=30.0) for due in (30.9, 30.45))
    )
    assert scheduler.offer(entry("late", 400, 30.8, at=30.0), 30.0) is TOO_LATE


def test_a_list_that_may_be_cut_keeps_the_rows_that_fit():
    """In 75 ms a list is cut to three hypotheses; a list of which two do not fit is refused."""
    scheduler = timed_scheduler()
    one = cuttable("a", 20, 20, 20, 20, 20, answer_by=0.075)
    assert scheduler.offer(one, 0.0) is ADMITTED
    assert one.num_hypotheses == 3
    assert scheduler.offer(cuttable("b", 20, 20, 20, answer_by=0.045), 0.0) is TOO_LATE


def test_the_queue_is_bounded_in_seconds_too():
    """The queue is bounded in seconds, however late the deadlines are."""
    scheduler = timed_scheduler(max_queue_seconds=1.0)
    admitted = 0
    while scheduler.offer(entry(f"{admitted}", 100, answer_by=1000.0), 0.0) is ADMITTED:
        admitted += 1
    assert 8 <= admitted <= 10  # one list a domain: only the time bounds them
    assert scheduler.offer(entry("late", 100, answer_by=1000.0), 0.0) is QUEUE_FULL


def test_a_wrong_prediction_does_not_refuse_for_ever():
    """After a second of idling a list is tried against a wrong prediction, and its pass corrects it."""
    scheduler = timed_scheduler(per_token=1.0)
    hopeless, probe, after = (entry(name, 50, answer_by=10.0) for name in ("hopeless", "probe", "after"))
    assert scheduler.offer(hopeless, 0.9 * PROBE_SECONDS) is TOO_LATE
    assert scheduler.offer(probe, PROBE_SECONDS) is PROBE
    batch = scheduler.take(PROBE_SECONDS)
    assert names(batch.entries) == ["probe"]
    scheduler.finish(batch, PROBE_SECONDS, PROBE_SECONDS + 0.05, read_tokens=batch.tokens)
    assert scheduler.offer(after, PROBE_SECONDS + 0.06) is ADMITTED
