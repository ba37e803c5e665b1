"""lorb_server.engine.scheduling.scheduler: simulated load above the model's capacity."""

import random

import pytest

from lorb_server.engine.scheduling.deadline_queue import BUCKET_SECONDS, Entry
from support.engine.scheduled_lists import cuttable, entry, make_scheduler, name_of, names, offer_all, timed_scheduler


class Simulation:
    """Lists of 10 hypotheses of 22 tokens arrive at a multiple of the capacity, with equal time to their deadlines."""

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
        """Simulates arrivals and batches."""
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
        one = cuttable(domain, *self.ROWS, answer_by=now + 4 * self.alone, at=now, domain=domain)
        self.scheduler.offer(one, now)

    def _answer(self, entries: list[Entry], now: float) -> None:
        for one in entries:
            if now <= one.call.answer_by:
                self.on_time[name_of(one)].append(one.num_hypotheses)
            else:
                self.late += 1


@pytest.mark.parametrize("load", [2.0, 4.0])
def test_overload_keeps_the_model_busy_with_lists_that_are_on_time(load):
    """At 2x and 4x load at most 5 % of the lists are late, and at least 80 % of the capacity is useful."""
    simulation = Simulation(load, 60.0, domains={"voice": 1.0})
    simulation.run()
    answered = simulation.on_time["voice"]
    assert sum(answered) >= 0.8 * 10 * simulation.capacity * 60.0
    assert simulation.late <= 0.05 * len(answered)


def test_a_flood_in_one_domain_does_not_starve_another():
    """A domain with 0.1x load is served beside a domain with 3x load."""
    simulation = Simulation(3.1, 60.0, domains={"flood": 3.0, "modest": 0.1})
    simulation.run()
    assert len(simulation.on_time["modest"]) >= 0.8 * simulation.offered["modest"]
    assert len(simulation.on_time["flood"]) <= 0.5 * simulation.offered["flood"]


def test_bursts_of_cancelled_calls_leave_room():
    """Thousands of cancelled calls leave the queue's room and time to later ones."""
    scheduler = timed_scheduler(queue=1000)
    for i in range(5000):
        one = entry(f"{i}", 100, answer_by=1.0 + BUCKET_SECONDS * (i % 7))
        offer_all(scheduler, one)
        scheduler.cancel(one)
    offer_all(scheduler, entry("next", 900, answer_by=1.0))
    assert names(scheduler.take(0.0).entries) == ["next"]
