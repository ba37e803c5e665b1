"""The queue before the model, driven by a simulated clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb_server.scheduler import BULK_SHARE, Entry, Scheduler


def make_scheduler(*, batch: int = 100, queue: int = 1000, bulk_queue: int = 1000) -> Scheduler[str]:
    return Scheduler(max_batch_tokens=batch, max_queue_tokens=queue, max_bulk_queue_tokens=bulk_queue)


def entry(name: str, tokens: int = 10, answer_by: float = 100.0, *, bulk: bool = False, at: float = 0.0) -> Entry[str]:
    return Entry(name, tokens, answer_by, bulk, at)


def names(entries: list[Entry[str]]) -> list[str]:
    return [each.payload for each in entries]


def offer_all(scheduler: Scheduler[str], *entries: Entry[str]) -> None:
    for each in entries:
        assert scheduler.offer(each)


def test_earliest_deadline_goes_first():
    """A list with less time left overtakes one that came before it."""
    scheduler = make_scheduler(batch=10)
    offer_all(scheduler, entry("late", answer_by=9), entry("soon", answer_by=3), entry("later", answer_by=12))
    order = [names(scheduler.take(0).entries) for _ in range(3)]
    assert order == [["soon"], ["late"], ["later"]]


def test_equal_deadlines_go_in_order_of_arrival():
    """Ties are first come, first served."""
    scheduler = make_scheduler()
    offer_all(scheduler, *(entry(f"{i}", tokens=1) for i in range(50)))
    assert names(scheduler.take(0).entries) == [f"{i}" for i in range(50)]


def test_a_pass_keeps_to_its_budget_in_whole_lists():
    """A list that does not fit waits for the next pass, whole; nothing overtakes it."""
    scheduler = make_scheduler(batch=100)
    offer_all(scheduler, entry("a", 60, 1), entry("b", 50, 2), entry("c", 30, 3))
    assert names(scheduler.take(0).entries) == ["a"]
    assert names(scheduler.take(0).entries) == ["b", "c"]


def test_a_list_larger_than_the_budget_goes_alone():
    """The largest list does not block the queue, and nothing rides with it."""
    scheduler = make_scheduler(batch=100)
    offer_all(scheduler, entry("huge", 500, 1), entry("small", 1, 2))
    assert names(scheduler.take(0).entries) == ["huge"]
    assert names(scheduler.take(0).entries) == ["small"]


def test_a_full_queue_refuses():
    """What does not fit is refused, and fits once there is room again."""
    scheduler = make_scheduler(queue=100)
    offer_all(scheduler, entry("a", 60))
    assert not scheduler.offer(entry("b", 41))
    assert scheduler.offer(entry("c", 40))
    assert scheduler.is_full(bulk=False)
    scheduler.take(0)
    assert scheduler.offer(entry("b", 41))


def test_an_empty_queue_takes_a_list_of_any_size():
    """A list larger than the whole queue is served when nothing else waits."""
    assert make_scheduler(queue=100).offer(entry("huge", 5000))


def test_batch_lists_do_not_fill_the_queue_of_single_ones():
    """Each kind has its own bound."""
    scheduler = make_scheduler(queue=100, bulk_queue=50)
    offer_all(scheduler, entry("bulk", 50, bulk=True), entry("single", 100))
    assert not scheduler.offer(entry("more bulk", 1, bulk=True))


def test_expired_lists_are_found_before_work_is_spent():
    """A list whose time is over is handed back apart and takes no room in the pass."""
    scheduler = make_scheduler(batch=10)
    offer_all(
        scheduler,
        entry("over", answer_by=5),
        entry("bulk over", answer_by=4, bulk=True),
        entry("fine", answer_by=6),
    )
    batch = scheduler.take(5.0)
    assert names(batch.entries) == ["fine"]
    assert sorted(names(batch.expired)) == ["bulk over", "over"]
    assert scheduler.queued_tokens == 0


def test_a_cancelled_list_leaves_at_once():
    """Its tokens are free for others, and it is never taken."""
    scheduler = make_scheduler(queue=10)
    gone = entry("gone")
    offer_all(scheduler, gone)
    assert scheduler.cancel(gone)
    assert not scheduler.cancel(gone)
    assert scheduler.queued_tokens == 0
    assert scheduler.offer(entry("next"))
    assert names(scheduler.take(0).entries) == ["next"]


def test_cancelled_lists_leave_no_trace():
    """A million cancelled calls with far deadlines would otherwise stay in memory."""
    scheduler = make_scheduler()
    for i in range(2000):
        one = entry(f"{i}", answer_by=1e9)
        scheduler.offer(one)
        scheduler.cancel(one)
    assert len(scheduler._single._heap) <= 65


def test_batch_lists_fill_the_room_that_single_ones_leave():
    """Nothing idles while work waits."""
    scheduler = make_scheduler(batch=100)
    offer_all(scheduler, entry("bulk", 40, 1, bulk=True), entry("single", 60, 50))
    assert names(scheduler.take(0).entries) == ["single", "bulk"]


def test_single_lists_go_before_batch_lists():
    """A batch call yields, however early its deadline."""
    scheduler = make_scheduler(batch=60)
    offer_all(scheduler, entry("bulk", 60, 1, bulk=True), entry("single", 60, 50))
    assert names(scheduler.take(0).entries) == ["single"]


@pytest.mark.parametrize("tokens", [1, 10, 100, 350])
def test_batch_lists_do_not_starve(tokens):
    """Under endless single lists a batch list goes once its share of the passes has paid for it."""
    scheduler = make_scheduler(batch=100, queue=10_000)
    offer_all(scheduler, entry("bulk", tokens, bulk=True))
    passes = 0
    while "bulk" not in names(scheduler.take(0).entries):
        offer_all(scheduler, *(entry(f"{passes}.{i}", 100) for i in range(3)))
        passes += 1
        assert passes <= 1 + tokens / (100 // BULK_SHARE) + 1


def test_oldest_age_counts_from_the_first_that_still_waits():
    """The age is of the longest-waiting list, not of the next one by deadline; 0 when none waits."""
    scheduler = make_scheduler()
    first = entry("first", answer_by=90, at=10.0)
    offer_all(scheduler, first, entry("second", answer_by=50, at=12.0, bulk=True))
    assert scheduler.oldest_age_seconds(15.0) == 5.0
    scheduler.cancel(first)
    assert scheduler.oldest_age_seconds(15.0) == 3.0
    assert names(scheduler.clear()) == ["second"]
    assert scheduler.oldest_age_seconds(15.0) == 0.0


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
    """Whatever happens, an admitted list is taken, expired or cancelled, once; the token count agrees."""
    scheduler = make_scheduler(batch=100, queue=400, bulk_queue=300)
    now, waiting, left = 0.0, [], []
    for step in steps:
        if step[0] == "offer":
            one = entry(str(len(waiting) + len(left)), step[1], now + step[2], bulk=step[3], at=now)
            if scheduler.offer(one):
                waiting.append(one)
        elif step[0] == "cancel" and waiting:
            one = waiting[step[1] % len(waiting)]
            assert scheduler.cancel(one)
            waiting.remove(one)
        elif step[0] == "take":
            now += step[1]
            batch = scheduler.take(now)
            assert all(each.answer_by <= now for each in batch.expired)
            assert all(each.answer_by > now for each in batch.entries)
            if len(batch.entries) > 1:
                assert sum(each.tokens for each in batch.entries) <= 100
            assert batch.entries or not (set(waiting) - set(batch.expired))
            for each in (*batch.entries, *batch.expired):
                waiting.remove(each)
                left.append(each)
        assert scheduler.queued_tokens == sum(each.tokens for each in waiting)
        assert scheduler.queued_lists == len(waiting)
    assert set(scheduler.clear()) == set(waiting)


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 50)), max_size=40))
def test_single_lists_are_taken_in_order_of_deadline(lists):
    """Over all passes, deadlines never fall, and ties keep their arrival."""
    scheduler = make_scheduler(batch=60, queue=100_000)
    entries = [entry(str(i), tokens, deadline) for i, (tokens, deadline) in enumerate(lists)]
    offer_all(scheduler, *entries)
    taken = []
    while batch := scheduler.take(0.0).entries:
        taken += batch
    assert taken == sorted(entries, key=lambda each: (each.answer_by, int(each.payload)))
