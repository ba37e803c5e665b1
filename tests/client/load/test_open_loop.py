"""lorb_client.load.open_loop: calls are sent on schedule, on a simulated clock."""

import asyncio

import pytest

from lorb.errors import LorbError
from lorb_client.load.call_outcome import CallOutcome, OutcomeKind
from lorb_client.load.open_loop import OpenLoop
from lorb_client.load.tally import LoadTally
from support.engine.simulated_loop import simulated

RESCORED = CallOutcome(OutcomeKind.RESCORED, num_scored=10)
EVERY_10_MS = [i / 100 for i in range(1000)]


def loaded(times, send, *, deadline_seconds=60.0, cancel_after=None, **settings):
    """Runs an open loop to its end, or until it is cancelled, and returns its tally."""

    async def run():
        loop = asyncio.get_running_loop()
        tally = LoadTally(deadline_seconds)
        task = loop.create_task(OpenLoop(times, send, tally, **settings).run(loop.time() + 1))
        if cancel_after is not None:
            loop.call_later(1 + cancel_after, task.cancel)
        await task
        return tally

    return simulated(run())


def answers_in(seconds):
    """Returns a server that takes this long for every call."""

    async def send(i, timeout_seconds):
        await asyncio.sleep(seconds)
        return RESCORED

    return send


def test_a_quick_server_is_called_on_time():
    """Every call is sent once, at its scheduled time, with its whole deadline."""
    sent = []

    async def send(i, timeout_seconds):
        sent.append((i, round(asyncio.get_running_loop().time() - 1001, 6), timeout_seconds))
        await asyncio.sleep(0.002)
        return RESCORED

    tally = loaded([0.0, 0.5, 0.5, 2.0], send, deadline_seconds=3.0)
    assert sent == [(0, 0.0, 3.0), (1, 0.5, 3.0), (2, 0.5, 3.0), (3, 2.0, 3.0)]
    assert tally.num_due == 4
    assert tally.outcomes == {(OutcomeKind.RESCORED, ""): 4}
    assert tally.latencies.percentiles().max == 2.0
    assert tally.scored_within_deadline == {OutcomeKind.RESCORED: 40}


def test_a_stall_shows_in_every_call_that_was_due_meanwhile():
    """A stall of 3 s in 10 s shows in the latencies of all calls scheduled during it; a closed loop would hide it."""

    async def send(i, timeout_seconds):
        now = asyncio.get_running_loop().time() - 1001
        if 2 <= now < 5:
            await asyncio.sleep(5 - now)
        await asyncio.sleep(0.001)
        return RESCORED

    found = loaded(EVERY_10_MS, send).latencies
    assert len(found) == 1000
    assert found.percentile_ms(50) == pytest.approx(1, rel=0.01)
    assert found.percentile_ms(90) == pytest.approx(2000, rel=0.01)
    assert found.percentile_ms(100) == pytest.approx(3001, rel=0.01)


def test_the_generators_own_delay_counts():
    """Latency and deadline of a late call count from its scheduled time, and the delay is recorded."""
    timeouts = {}

    async def send(i, timeout_seconds):
        timeouts[i] = timeout_seconds
        if i == 100:
            asyncio.get_running_loop().advance(0.5)  # the generator's own process is busy
        await asyncio.sleep(0.001)
        return RESCORED

    tally = loaded(EVERY_10_MS, send, deadline_seconds=0.3)
    assert tally.lateness.percentiles().max == pytest.approx(490, abs=1)
    assert len(tally.latencies) == 1000
    # 501 of the call that was held, then 491, 481, ...: the 21st longest
    assert tally.latencies.percentile_ms(98) == pytest.approx(301, rel=0.01)
    assert timeouts[99] == pytest.approx(0.3)
    assert timeouts[140] == pytest.approx(0.3 - 0.1, abs=0.001)
    assert timeouts[102] == 0.001
    assert tally.num_within_deadline == 1000 - 21


def test_a_call_without_room_is_counted_as_not_sent():
    """A call beyond the in-flight limit is counted as not sent, and delays no other call."""
    tally = loaded(EVERY_10_MS, answers_in(1.005), in_flight_limit=50)
    assert tally.num_due == 1000
    assert tally.num_not_sent + sum(tally.outcomes.values()) == 1000
    assert tally.num_not_sent == pytest.approx(1000 - 10 * 50, abs=5)
    assert tally.lateness.percentiles().max < 0.01


def test_the_warm_up_is_sent_and_not_counted():
    """Calls of the warm-up are sent but not counted."""
    sent = []

    async def send(i, timeout_seconds):
        sent.append(i)
        return RESCORED

    tally = loaded(EVERY_10_MS, send, warm_up_seconds=1.0)
    assert len(sent) == 1000
    assert tally.num_due == sum(tally.outcomes.values()) == len(tally.lateness) == 900


def test_cancelling_keeps_the_ended_calls():
    """After cancelling, ended calls stay counted, and calls under way count as unfinished."""
    tally = loaded(EVERY_10_MS, answers_in(0.5), cancel_after=4.0, warm_up_seconds=1.0)
    assert tally.interrupted_after_seconds == pytest.approx(3.0)
    assert tally.num_due == pytest.approx(300, abs=1)
    assert tally.outcomes[OutcomeKind.RESCORED, ""] == pytest.approx(250, abs=1)
    assert tally.num_unfinished == tally.num_due - tally.outcomes[OutcomeKind.RESCORED, ""]


def test_a_call_that_never_ends_does_not_hold_the_run():
    """A call that never ends is cancelled after its deadline and counted as unfinished."""

    async def send(i, timeout_seconds):
        await asyncio.sleep(0 if i else 10**9)
        return RESCORED

    tally = loaded([0.0, 0.1], send, deadline_seconds=1.0)
    assert tally.num_unfinished == 1
    assert tally.outcomes == {(OutcomeKind.RESCORED, ""): 1}
    assert tally.interrupted_after_seconds is None


@pytest.mark.parametrize("which", [0, 2])
def test_an_exception_of_send_ends_the_run(which):
    """An exception of `send` ends the run and is raised."""

    async def send(i, timeout_seconds):
        if i == which:
            raise LorbError("the answer's outcome is 9, which this client does not know")
        return RESCORED

    with pytest.raises(LorbError, match="outcome is 9"):
        loaded([0.0, 0.1, 0.2], send)
