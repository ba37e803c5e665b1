"""lorb_server.engine.scheduling with several workers: predictions, shared batches, work in idle time."""

import pytest

from lorb_server.call import Priority
from support.engine.scheduled_lists import (
    ADMITTED,
    TOO_LATE,
    cuttable,
    entry,
    names,
    offer_all,
    timed_scheduler,
)

PER_TOKEN = {"fixed": 0.0, "per_token": 0.001}


def test_lists_that_fit_into_one_batch_are_shared():
    """If all lists that wait fit into one batch, the idle workers share it; otherwise each takes a batch."""
    scheduler = timed_scheduler(**PER_TOKEN, batch=100, num_workers=2)
    offer_all(scheduler, entry("a", 60), entry("b", 40))
    batch = scheduler.take(0.0, worker=0, num_idle=2)
    assert (names(batch.entries), batch.num_workers) == (["a", "b"], 2)
    offer_all(scheduler, entry("c", 60), entry("d", 60))
    batch = scheduler.take(0.0, worker=1, num_idle=2)
    assert (names(batch.entries), batch.num_workers) == (["c"], 1)


def test_a_lone_list_is_shared_whatever_its_size():
    """A list beyond the token budget is shared too, if no other list waits."""
    scheduler = timed_scheduler(**PER_TOKEN, batch=100, num_workers=2)
    offer_all(scheduler, entry("a", 500))
    assert scheduler.take(0.0, worker=0, num_idle=2).num_workers == 2


def test_sharing_meets_a_deadline_that_one_worker_would_miss():
    """Two idle workers score a list in half the time: its deadline is met, and it is not cut."""
    scheduler = timed_scheduler(**PER_TOKEN, num_workers=2)
    tight = cuttable("a", 100, 100, 100, 100, answer_by=0.25)
    assert scheduler.offer(tight, 0.0) is ADMITTED
    assert tight.num_hypotheses == 4
    batch = scheduler.take(0.0, worker=0, num_idle=2)
    assert (batch.num_workers, batch.entries) == (2, [tight])


def test_a_busy_worker_is_not_counted_on():
    """While a worker is busy, a list must meet its deadline on one worker, and is cut to what it can score."""
    scheduler = timed_scheduler(**PER_TOKEN, num_workers=2)
    offer_all(scheduler, entry("a", 500))
    scheduler.take(0.0, worker=0, num_idle=1)
    tight = cuttable("b", 100, 100, 100, 100, answer_by=0.25)
    assert scheduler.offer(tight, 0.0) is ADMITTED
    assert tight.num_hypotheses == 2


def test_a_list_waits_for_the_worker_that_is_free_first():
    """The wait that is predicted for a list ends when the first worker is free."""
    scheduler = timed_scheduler(**PER_TOKEN, num_workers=2)
    for worker, tokens in ((0, 1000), (1, 200)):
        offer_all(scheduler, entry(f"w{worker}", tokens))
        scheduler.take(0.0, worker=worker, num_idle=1)
    assert scheduler.offer(entry("a", 100, answer_by=0.29), 0.0) is TOO_LATE
    assert scheduler.offer(entry("b", 100, answer_by=0.31), 0.0) is ADMITTED


def test_the_queue_drains_as_fast_as_all_workers_together():
    """Tokens that are ahead of a list delay it by their time divided by the number of workers."""
    scheduler = timed_scheduler(**PER_TOKEN, batch=100, num_workers=4)
    for worker in range(4):
        offer_all(scheduler, entry(f"w{worker}", 100))
        scheduler.take(0.0, worker=worker, num_idle=1)
    offer_all(scheduler, *(entry(f"q{i}", 100, answer_by=0.5) for i in range(4)))
    assert scheduler.offer(entry("a", 100, answer_by=0.5, domain="x"), 0.0) is ADMITTED


def test_idle_time_is_each_workers_own():
    """A worker takes golden lists although another is busy, and never shares them; with calls waiting it takes none."""
    scheduler = timed_scheduler(**PER_TOKEN, num_workers=2)
    offer_all(scheduler, entry("call", 100), entry("golden", 10, priority=Priority.VERIFICATION))
    assert names(scheduler.take(0.0, worker=0, num_idle=2).entries) == ["call"]
    batch = scheduler.take(0.0, worker=1, num_idle=2)
    assert (names(batch.entries), batch.num_workers) == (["golden"], 1)


def test_the_ends_of_passes_are_kept_for_each_worker():
    """After the end of its pass a worker starts at once, while another worker's end is still to come."""
    scheduler = timed_scheduler(**PER_TOKEN, num_workers=2)
    offer_all(scheduler, entry("a", 400))
    batch = scheduler.take(0.0, worker=0, num_idle=2)
    scheduler.forecast.begin(1, 200, 0.0)  # the other share
    assert scheduler.forecast.earliest_start(0.1) == pytest.approx(0.2)
    scheduler.finish(batch, 0.0, 0.15, read_tokens=0, worker=1)
    assert scheduler.forecast.earliest_start(0.15) == 0.15
    assert not scheduler.forecast.all_idle
    scheduler.finish(batch, 0.0, 0.2, read_tokens=0, worker=0)
    assert scheduler.forecast.all_idle
