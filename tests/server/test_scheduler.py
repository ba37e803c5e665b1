"""The queue before the model, driven by a simulated clock."""

import random
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb_server.deadline_lane import BUCKET_SECONDS, Entry
from lorb_server.job import Lane
from lorb_server.scheduler import BULK_SHARE, PROBE_SECONDS, Admission, Batch, Scheduler

ADMITTED, QUEUE_FULL, TOO_LATE = Admission.ADMITTED, Admission.QUEUE_FULL, Admission.TOO_LATE


def make_scheduler(*, batch: int = 100, queue: int = 1000, bulk_queue: int = 1000, **limits: float) -> Scheduler[str]:
    return Scheduler(max_batch_tokens=batch, max_queue_tokens=queue, max_bulk_queue_tokens=bulk_queue, **limits)


def timed_scheduler(fixed: float = 0.01, per_token: float = 0.001, **limits: float) -> Scheduler[str]:
    """One that has learned how long passes take: exactly so long."""
    scheduler = make_scheduler(**{"batch": 1000, "queue": 1_000_000, **limits})
    for tokens in [10, 1000, 100, 300] * 20:
        scheduler.cost.observe(tokens, fixed + per_token * tokens)
    scheduler.finish(Batch(), 0.0, 0.0, read_tokens=0)  # busy until just now
    return scheduler


def entry(
    name: str,
    tokens: int = 10,
    answer_by: float = 100.0,
    *,
    bulk: bool = False,
    at: float = 0.0,
    domain: str = "",
    lane: Lane | None = None,
) -> Entry[str]:
    """A list of one row, of a domain of its own unless told."""
    return Entry(name, (tokens,), answer_by, lane or (Lane.BULK if bulk else Lane.SINGLE), domain or name, 1, at)


def rows(name: str, *tokens: int, answer_by: float, least: int = 2, at: float = 0.0, domain: str = "") -> Entry[str]:
    """A list that may be cut."""
    return Entry(name, tuple(accumulate(tokens)), answer_by, Lane.SINGLE, domain or name, least, at)


def names(entries: list[Entry[str]]) -> list[str]:
    return [each.payload for each in entries]


def offer_all(scheduler: Scheduler[str], *entries: Entry[str]) -> None:
    for each in entries:
        assert scheduler.offer(each, each.enqueued_at) is ADMITTED


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
    assert scheduler.offer(entry("b", 41), 0) is QUEUE_FULL
    assert scheduler.offer(entry("c", 20), 0) is ADMITTED
    assert scheduler.foresee("d", Lane.SINGLE, 1, 100.0, 0) is ADMITTED
    assert scheduler.offer(entry("d", 13), 0) is ADMITTED
    assert scheduler.foresee("a", Lane.SINGLE, 1, 100.0, 0) is QUEUE_FULL
    scheduler.take(0)
    assert scheduler.offer(entry("b", 41), 0) is ADMITTED


def test_an_empty_queue_takes_a_list_of_any_size():
    """A list larger than the whole queue is served when nothing else waits."""
    assert make_scheduler(queue=100).offer(entry("huge", 5000), 0) is ADMITTED


def test_batch_lists_do_not_fill_the_queue_of_single_ones():
    """Each kind has its own bound."""
    scheduler = make_scheduler(queue=100, bulk_queue=50)
    offer_all(scheduler, entry("bulk", 50, bulk=True), entry("single", 100))
    assert scheduler.offer(entry("more bulk", 1, bulk=True), 0) is QUEUE_FULL


def test_one_domain_leaves_room_for_others():
    """However much one domain sends, another's list is taken; both together share alike in the end."""
    scheduler = make_scheduler(queue=1000)
    while scheduler.offer(entry("greedy", 10, domain="greedy"), 0) is ADMITTED:
        pass
    assert scheduler.queued_tokens == pytest.approx(667, abs=10)
    while scheduler.offer(entry("modest", 10, domain="modest"), 0) is ADMITTED:
        pass
    assert scheduler.queued_tokens > 800
    assert scheduler.offer(entry("third", 10, domain="third"), 0) is ADMITTED


def test_lists_that_are_late_are_found_before_work_is_spent():
    """A list whose time is over is handed back apart and takes no room in the pass."""
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


def test_what_cannot_be_ready_in_time_is_refused_when_it_comes():
    """A pass of 110 ms does not fit into 100: no work, no waiting."""
    scheduler = timed_scheduler()
    assert scheduler.offer(entry("a", 100, answer_by=0.1), 0.0) is TOO_LATE
    assert scheduler.offer(entry("b", 100, answer_by=0.12), 0.0) is ADMITTED


def test_a_list_that_cannot_be_ready_is_foreseen_from_its_least_tokens():
    """Before its rows are known a list is refused where even the fewest that are worth scoring come too late."""
    scheduler = timed_scheduler()
    assert scheduler.foresee("a", Lane.SINGLE, 41, 0.05, 0.0) is TOO_LATE
    assert scheduler.foresee("a", Lane.SINGLE, 39, 0.05, 0.0) is ADMITTED
    assert scheduler.foresee("a", Lane.BULK, 41, 0.05, 0.0) is ADMITTED


def test_an_idle_model_is_probed_whatever_is_foreseen():
    """After a second without work a list is let through to its offer, which makes a probe of it."""
    scheduler = timed_scheduler()
    assert scheduler.foresee("a", Lane.SINGLE, 500, PROBE_SECONDS + 0.05, PROBE_SECONDS) is ADMITTED
    assert scheduler.foresee("a", Lane.SINGLE, 500, PROBE_SECONDS, PROBE_SECONDS) is TOO_LATE


waiting_lists = st.lists(st.tuples(st.integers(1, 200), st.floats(0.01, 0.5), st.booleans()), max_size=30)


@given(waiting_lists, st.lists(st.integers(1, 60), min_size=2, max_size=8), st.floats(0.0, 0.4), st.floats(0.05, 1.0))
def test_what_is_foreseen_to_be_refused_is_refused(waiting, newcomer, answer_by, max_queue_seconds):
    """Whatever waits, `foresee` never turns away a list that `offer` would take, and gives the reason `offer` would."""
    scheduler = timed_scheduler(max_queue_seconds=max_queue_seconds, queue=2000)
    for i, (tokens, by, of_same_domain) in enumerate(waiting):
        scheduler.offer(entry(str(i), tokens, by, domain="a" if of_same_domain else str(i)), 0.0)
    newest = rows("new", *newcomer, answer_by=answer_by, domain="a")
    foreseen = scheduler.foresee("a", Lane.SINGLE, newest.cumulative_tokens[1], answer_by, 0.0)
    outcome = scheduler.offer(newest, 0.0)
    assert foreseen in (ADMITTED, outcome)


def test_the_work_ahead_counts_and_the_work_behind_does_not():
    """A newcomer waits for earlier deadlines and for the pass that runs, not for later ones."""
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
    """What came before the model thread looked again is ahead of the next burst as it is after a moment."""
    assert admitted_of_two_bursts(idle_seconds) == admitted_of_two_bursts(1.0)


def test_who_is_due_first_is_told_however_long_a_pass_takes():
    """Behind a list that came half a minute before, only what is due earlier is ahead of a newcomer."""
    scheduler = timed_scheduler()
    offer_all(
        scheduler, entry("patient", answer_by=60.0), *(entry(f"{due}", 400, due, at=30.0) for due in (30.9, 30.45))
    )
    assert scheduler.offer(entry("late", 400, 30.8, at=30.0), 30.0) is TOO_LATE


def test_a_list_that_may_be_cut_keeps_the_rows_that_fit():
    """In 75 ms there is time for three rows of 20 tokens; where two do not fit either it is refused."""
    scheduler = timed_scheduler()
    one = rows("a", 20, 20, 20, 20, 20, answer_by=0.075)
    assert scheduler.offer(one, 0.0) is ADMITTED
    assert one.num_rows == 3
    assert scheduler.offer(rows("b", 20, 20, 20, answer_by=0.045), 0.0) is TOO_LATE


def test_a_list_is_cut_when_its_turn_comes_late():
    """What fitted at admission and does not any more is cut at dispatch, or handed back where too little is left."""
    scheduler = timed_scheduler()
    late, too_late = rows("late", 20, 20, 20, answer_by=0.2), rows("too late", 20, 20, 20, answer_by=0.21)
    offer_all(scheduler, late, too_late)
    batch = scheduler.take(0.145)
    assert names(batch.entries) == ["late"]
    assert late.num_rows == 2
    batch = scheduler.take(0.195)
    assert names(batch.too_late) == ["too late"]


def test_a_pass_is_no_longer_than_the_earliest_deadline_in_it():
    """A list is not put into a pass that would make another of it late."""
    scheduler = timed_scheduler()
    offer_all(scheduler, entry("tight", 100, answer_by=0.15), entry("easy", 100, answer_by=9.0))
    assert names(scheduler.take(0.0).entries) == ["tight"]
    assert names(scheduler.take(0.11).entries) == ["easy"]


def test_a_pass_of_several_lists_keeps_to_its_seconds():
    """Passes stay short, so that a newcomer need not wait long; a list alone may take longer."""
    scheduler = timed_scheduler(max_pass_seconds=0.1)
    offer_all(scheduler, *(entry(f"{i}", 40, answer_by=90.0 + i) for i in range(4)), entry("big", 500, answer_by=99.0))
    assert names(scheduler.take(0.0).entries) == ["0", "1"]
    assert names(scheduler.take(0.0).entries) == ["2", "3"]
    assert names(scheduler.take(0.0).entries) == ["big"]


def test_the_queue_is_bounded_in_seconds_too():
    """However late their deadlines, lists do not wait longer than the bound."""
    scheduler = timed_scheduler(max_queue_seconds=1.0)
    admitted = 0
    while scheduler.offer(entry(f"{admitted}", 100, answer_by=1000.0), 0.0) is ADMITTED:
        admitted += 1
    assert 8 <= admitted <= 10  # one list a domain: only the time bounds them
    assert scheduler.offer(entry("late", 100, answer_by=1000.0), 0.0) is QUEUE_FULL


def test_a_prediction_gone_wrong_does_not_refuse_for_ever():
    """After a second of idling a list is tried though it seems hopeless, and the pass corrects the prediction."""
    scheduler = timed_scheduler(per_token=1.0)
    hopeless, probe, after = (entry(name, 50, answer_by=10.0) for name in ("hopeless", "probe", "after"))
    assert scheduler.offer(hopeless, 0.9 * PROBE_SECONDS) is TOO_LATE
    assert scheduler.offer(probe, PROBE_SECONDS) is ADMITTED
    batch = scheduler.take(PROBE_SECONDS)
    assert names(batch.entries) == ["probe"]
    scheduler.finish(batch, PROBE_SECONDS, PROBE_SECONDS + 0.05, read_tokens=batch.tokens)
    assert scheduler.offer(after, PROBE_SECONDS + 0.06) is ADMITTED


def test_idle_work_goes_when_nothing_else_waits():
    """Shadow lists yield to batch lists, and are not lost."""
    scheduler = make_scheduler()
    offer_all(scheduler, entry("idle", lane=Lane.IDLE), entry("bulk", bulk=True), entry("single"))
    assert sorted(names(scheduler.take(0).entries)) == ["bulk", "single"]
    assert names(scheduler.take(0).entries) == ["idle"]


def test_a_cancelled_list_leaves_at_once():
    """Its tokens are free for others, and it is never taken."""
    scheduler = make_scheduler(queue=10)
    gone = entry("gone")
    offer_all(scheduler, gone)
    assert scheduler.cancel(gone)
    assert not scheduler.cancel(gone)
    assert scheduler.queued_tokens == 0
    offer_all(scheduler, entry("next"))
    assert names(scheduler.take(0).entries) == ["next"]


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
    """The age is of a lane's longest-waiting list, not of the next one by deadline; 0 when none waits."""
    scheduler = make_scheduler()
    first = entry("first", answer_by=90, at=10.0)
    offer_all(
        scheduler, first, entry("second", answer_by=50, at=12.0), entry("third", answer_by=50, at=11.0, bulk=True)
    )
    assert scheduler.oldest_age_seconds(Lane.SINGLE, 15.0) == 5.0
    assert scheduler.oldest_age_seconds(Lane.BULK, 15.0) == 4.0
    scheduler.cancel(first)
    assert scheduler.oldest_age_seconds(Lane.SINGLE, 15.0) == 3.0
    assert sorted(names(scheduler.clear())) == ["second", "third"]
    assert scheduler.oldest_age_seconds(Lane.SINGLE, 15.0) == 0.0


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
            if scheduler.offer(one, now) is ADMITTED:
                waiting.append(one)
        elif step[0] == "cancel" and waiting:
            one = waiting[step[1] % len(waiting)]
            assert scheduler.cancel(one)
            waiting.remove(one)
        elif step[0] == "take":
            now += step[1]
            batch = scheduler.take(now)
            assert all(each.answer_by <= now for each in batch.too_late)
            assert all(each.answer_by >= now for each in batch.entries)
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
def test_single_lists_are_taken_in_order_of_deadline(lists):
    """Over all passes, deadlines never fall, and ties keep their arrival."""
    scheduler = make_scheduler(batch=60, queue=100_000)
    entries = [entry(str(i), tokens, deadline) for i, (tokens, deadline) in enumerate(lists)]
    offer_all(scheduler, *entries)
    taken = []
    while batch := scheduler.take(0.0).entries:
        taken += batch
    assert taken == sorted(entries, key=lambda each: (each.bucket, int(each.payload)))


class Simulation:
    """Arrivals of 10 rows of 22 tokens at a multiple of what the model can do, each call with the same time."""

    ROWS = (22,) * 10
    FIXED, PER_TOKEN = 0.01, 0.0003  # MiniLM on two cores

    def __init__(self, load: float, seconds: float, *, domains: dict[str, float], seed: int = 1) -> None:
        self.scheduler = make_scheduler(batch=1024, queue=32768, max_pass_seconds=0.1)
        self.chance = random.Random(seed)
        self.alone = self.FIXED + self.PER_TOKEN * sum(self.ROWS)
        self.capacity = 1 / (self.PER_TOKEN * sum(self.ROWS) + self.FIXED / 1.3)  # lists a second, in passes of 0.1 s
        self.load, self.seconds, self.domains = load, seconds, domains
        self.on_time: dict[str, list[int]] = {domain: [] for domain in domains}  # rows rescored, of each list
        self.offered: dict[str, int] = dict.fromkeys(domains, 0)
        self.late = 0

    def run(self) -> None:
        """Plays arrivals and passes against each other."""
        arrivals = self._arrivals()
        now, next_arrival = 0.0, next(arrivals)
        while next_arrival < self.seconds:
            batch = self.scheduler.take(now)
            ends = now
            if batch.entries:
                took = (self.FIXED + self.PER_TOKEN * batch.tokens) * self.chance.lognormvariate(0, 0.1)
                ends = now + took
            elif next_arrival > now:
                ends = next_arrival
            while next_arrival <= ends:
                self._arrive(next_arrival)
                next_arrival = next(arrivals)
            if batch.entries:
                self.scheduler.finish(batch, now, ends, read_tokens=batch.tokens)
                self._answer(batch.entries, ends)
            now = ends

    def _arrivals(self):
        time = 0.0
        while True:
            time += self.chance.expovariate(self.load * self.capacity)
            yield time

    def _arrive(self, now: float) -> None:
        [domain] = self.chance.choices(list(self.domains), list(self.domains.values()))
        self.offered[domain] += 1
        one = rows(domain, *self.ROWS, answer_by=now + 4 * self.alone, at=now, domain=domain)
        self.scheduler.offer(one, now)

    def _answer(self, entries: list[Entry[str]], now: float) -> None:
        for one in entries:
            if now <= one.answer_by:
                self.on_time[one.domain].append(one.num_rows)
            else:
                self.late += 1


@pytest.mark.parametrize("load", [2.0, 4.0])
def test_overload_keeps_the_model_busy_with_what_is_on_time(load):
    """At two and four times capacity nearly every pass is on time, and at least 0.8 of capacity is useful."""
    simulation = Simulation(load, 60.0, domains={"voice": 1.0})
    simulation.run()
    answered = simulation.on_time["voice"]
    assert sum(answered) >= 0.8 * 10 * simulation.capacity * 60.0
    assert simulation.late <= 0.05 * len(answered)


def test_a_flood_in_one_domain_leaves_another_its_service():
    """A domain that asks for a tenth of the model gets most of it beside one that asks for three times the model."""
    simulation = Simulation(3.1, 60.0, domains={"flood": 3.0, "modest": 0.1})
    simulation.run()
    assert len(simulation.on_time["modest"]) >= 0.8 * simulation.offered["modest"]
    assert len(simulation.on_time["flood"]) <= 0.5 * simulation.offered["flood"]


def test_bursts_of_cancelled_calls_leave_room():
    """Calls that are given up, in their thousands, take neither room nor time from those that come after."""
    scheduler = timed_scheduler(queue=1000)
    for i in range(5000):
        one = entry(f"{i}", 100, answer_by=1.0 + BUCKET_SECONDS * (i % 7))
        offer_all(scheduler, one)
        scheduler.cancel(one)
    offer_all(scheduler, entry("next", 900, answer_by=1.0))
    assert names(scheduler.take(0.0).entries) == ["next"]
