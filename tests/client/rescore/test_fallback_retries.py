"""lorb_client.rescore.fallback_retries: further attempts for lists that the server had no time or room to rescore."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from lorb.errors import DeadlineExceeded, ModelFailed, Overloaded
from lorb.nbest import Hypothesis, NBest
from lorb.ranked import FallbackReason, Outcome, Ranked, RankedHypothesis
from lorb_client.rescore.fallback_retries import DEADLINE_FACTORS, MAX_FAILURES_IN_A_ROW, FallbackRetries

NBEST = NBest((Hypothesis("a"), Hypothesis("b")))


def ranked(outcome, reason=None):
    """An answer."""
    return Ranked((RankedHypothesis(0, "a"),), outcome, fallback_reason=reason)


RESCORED = ranked(Outcome.RESCORED)
LATE = ranked(Outcome.FIRST_PASS, FallbackReason.DEADLINE)
PARTIAL = ranked(Outcome.PARTIAL, FallbackReason.DEADLINE)
FULL = ranked(Outcome.FIRST_PASS, FallbackReason.QUEUE_FULL)


class Server:
    """Answers with each of `results` in turn, then with the last; records deadlines and pauses instead of waiting."""

    def __init__(self, *results):
        self.results = list(results)
        self.deadlines = []
        self.pauses = []
        self.num_retried = 0

    def rescore(self, nbest, timeout_seconds):
        self.deadlines.append(timeout_seconds)
        return self.results.pop(0) if len(self.results) > 1 else self.results[0]

    def pause(self, seconds):
        self.pauses.append(seconds)
        return False

    def count(self):
        self.num_retried += 1

    def retries(self):
        return FallbackRetries(
            self.rescore, timeout_seconds=10.0, max_wait_seconds=1.0, pause=self.pause, on_retry=self.count
        )


@pytest.mark.parametrize("first", [LATE, PARTIAL, DeadlineExceeded("no time")])
def test_each_attempt_has_more_time(first):
    """A list that needs more time is sent with 2, 4 and 8 times the deadline, until it is rescored in full."""
    server = Server(LATE, PARTIAL, RESCORED)
    assert server.retries().improved(NBEST, first) == RESCORED
    assert (server.deadlines, server.pauses, server.num_retried) == ([20, 40, 80], [], 1)


@pytest.mark.parametrize("first", [FULL, Overloaded("no room")])
def test_a_full_server_is_waited_for(first):
    """While the server has no room, the list is sent again after growing pauses."""
    server = Server(FULL, Overloaded("no room"), RESCORED)
    assert server.retries().improved(NBEST, first) == RESCORED
    assert (server.deadlines, server.pauses) == ([20, 20, 20], [0.1, 0.2])


def test_the_wait_for_room_is_bounded():
    """The pauses end after the maximum wait, and the server's last answer stays."""
    server = Server(FULL)
    assert server.retries().improved(NBEST, FULL) == FULL
    assert server.pauses == [0.1, 0.2, 0.4]


def test_attempts_for_more_time_are_bounded():
    """A list that is never rescored in full has three further attempts."""
    server = Server(PARTIAL)
    assert server.retries().improved(NBEST, LATE) == PARTIAL
    assert len(server.deadlines) == len(DEADLINE_FACTORS)


@pytest.mark.parametrize("worse", [FULL, LATE, Overloaded("no room"), ModelFailed("failed")])
def test_a_worse_answer_does_not_replace_a_better_one(worse):
    """A list rescored in part stays so if further attempts bring less."""
    assert Server(worse).retries().improved(NBEST, PARTIAL) == PARTIAL


@pytest.mark.parametrize(
    "result",
    [
        RESCORED,
        ranked(Outcome.FIRST_PASS, FallbackReason.INVALID_SCORE),
        ranked(Outcome.FIRST_PASS, FallbackReason.UNKNOWN),
        ranked(Outcome.UNKNOWN, FallbackReason.UNKNOWN),
        ModelFailed("failed"),
    ],
)
def test_what_time_and_room_cannot_change_stays(result):
    """A list that is rescored, or not rescored for another reason, is not sent again."""
    server = Server(RESCORED)
    assert server.retries().improved(NBEST, result) is result
    assert server.num_retried == 0


def test_a_server_that_never_has_time_is_not_asked_for_ever():
    """After three lists in a row that no attempt rescored, later lists keep their first answer."""
    server = Server(LATE)
    retries = server.retries()
    for _ in range(10):
        assert retries.improved(NBEST, LATE) == LATE
    assert server.num_retried == MAX_FAILURES_IN_A_ROW


def test_a_success_resets_the_count_of_failures():
    """Lists that are rescored in between keep the attempts going."""
    server = Server(*[*[LATE] * 6, RESCORED] * 4)
    retries = server.retries()
    answers = [retries.improved(NBEST, LATE) for _ in range(12)]
    assert answers == [LATE, LATE, RESCORED] * 4


def test_one_list_is_sent_again_at_a_time():
    """Retries of several threads wait for each other."""
    server = Server(RESCORED)
    under_way = threading.Lock()
    overlaps = []

    def rescore(nbest, timeout_seconds):
        overlaps.append(not under_way.acquire(blocking=False))
        threading.Event().wait(0.002)
        under_way.release()
        return RESCORED

    server.rescore = rescore
    retries = server.retries()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: retries.improved(NBEST, LATE), range(40))) == [RESCORED] * 40
    assert not any(overlaps)


def test_a_retry_without_an_answer_keeps_the_first_answer():
    """If a further call ends without an answer by its deadline, the list keeps its first-pass answer."""

    def out_of_time(nbest, timeout_seconds):
        raise DeadlineExceeded("no answer")

    server = Server(LATE)
    server.rescore = out_of_time
    assert server.retries().improved(NBEST, LATE) == LATE
