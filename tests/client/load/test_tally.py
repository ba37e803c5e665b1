"""lorb_client.load.tally, result and report: counts, rates and the table."""

import json

import pytest

from lorb_client.load.call_outcome import CallOutcome, OutcomeKind
from lorb_client.load.report import report
from lorb_client.load.result import LoadResult
from lorb_client.load.tally import LoadTally
from support.servers.rescoring_server import INFO

OUTCOMES = [
    (CallOutcome(OutcomeKind.RESCORED, num_scored=10), 0.02),
    (CallOutcome(OutcomeKind.RESCORED, num_scored=8), 0.20),  # after its deadline
    (CallOutcome(OutcomeKind.PARTIAL, "deadline", num_scored=4), 0.09),
    (CallOutcome(OutcomeKind.FIRST_PASS, "queue_full"), 0.01),
    (CallOutcome(OutcomeKind.FIRST_PASS, "deadline"), 0.09),
    (CallOutcome(OutcomeKind.REFUSED, "resource_exhausted"), 0.01),
    (CallOutcome(OutcomeKind.NO_ANSWER, "deadline_exceeded"), 0.10),
]


def tallied(outcomes=OUTCOMES, late_seconds=0.0001, into=None):
    """Returns a tally of these outcomes, one call not sent and one unfinished."""
    tally = into or LoadTally(deadline_seconds=0.1)
    for outcome, seconds in outcomes:
        tally.add_sent(late_seconds)
        tally.add_outcome(outcome, seconds)
    tally.add_not_sent()
    tally.add_sent(late_seconds)
    tally.num_unfinished += 1
    return tally


def result(tally, seconds=2.0):
    """Returns the result of a tally."""
    return LoadResult.of(tally, INFO, target="here:1", seconds=seconds)


def test_every_call_is_counted_once():
    """Every call is counted once: by outcome and reason, as not sent, or as unfinished."""
    found = result(tallied())
    assert found.endings == {
        "rescored": 2,
        "partial deadline": 1,
        "first_pass queue_full": 1,
        "first_pass deadline": 1,
        "refused resource_exhausted": 1,
        "no_answer deadline_exceeded": 1,
    }
    assert (found.num_due, found.num_sent, found.num_not_sent, found.num_unfinished) == (9, 8, 1, 1)
    assert sum(found.endings.values()) + found.num_not_sent + found.num_unfinished == found.num_due
    assert (found.num_answered, found.num_with_outcome(OutcomeKind.FIRST_PASS)) == (5, 2)


def test_throughput_counts_answers_within_the_deadline():
    """Throughput counts hypotheses answered within the deadline, apart for whole and partial lists."""
    found = result(tallied())
    assert found.rescored_hypotheses_per_second == 5.0
    assert found.partial_hypotheses_per_second == 2.0
    assert found.within_deadline == pytest.approx(4 / 9)
    assert (found.offered_per_second, found.answered_per_second) == (4.5, 2.5)


def test_rescored_lists_have_their_own_latency():
    """Latencies of rescored lists are reported apart from those of fast fallbacks."""
    found = result(tallied())
    assert found.latency_ms.max == 200
    assert found.latency_ms.p50 == pytest.approx(90, rel=1e-3)
    assert found.rescored_latency_ms.p50 == pytest.approx(20, rel=1e-3)


def test_an_interrupted_run_is_measured_by_the_time_it_ran():
    """Rates of an interrupted run are over the time that it ran."""
    tally = tallied()
    tally.interrupted_after_seconds = 1.0
    found = result(tally)
    assert (found.seconds, found.offered_per_second, found.interrupted) == (1.0, 9.0, True)


def test_tallies_add_up():
    """Two merged tallies give the same result as one tally of all calls."""
    merged = tallied()
    merged.merge(tallied())
    assert result(merged).to_json() == result(tallied(into=tallied())).to_json()
    assert merged.num_due == 18


def test_the_result_is_json():
    """The result in JSON types survives JSON, without the histograms."""
    fields = result(tallied()).to_json()
    assert json.loads(json.dumps(fields)) == fields
    assert fields["latency_ms"]["p99_9"] == 200
    assert "latencies" not in fields


@pytest.mark.parametrize(("late_seconds", "lagged"), [(0.0015, False), (0.003, True)])
def test_a_lagging_generator_is_reported(late_seconds, lagged):
    """A delay above 2 ms and a tenth of the median latency is reported as lag."""
    quick = [(CallOutcome(OutcomeKind.RESCORED, num_scored=1), 0.01)] * 50
    found = result(tallied(quick, late_seconds))
    assert found.lagged is lagged
    assert any(line.startswith("The generator lagged: 1 % of the calls were sent") for line in report(found)) is lagged


def test_the_report_has_all_figures():
    """The table has rates, outcomes with reasons, calls not sent, and percentiles."""
    lines = [" ".join(line.split()) for line in report(result(tallied()))]
    for line in (
        "server here:1 none float32 on cpu",
        "offered 4.5 calls/s",
        "within the deadline 44.44 % of 100 ms",
        "rescored in time 7.0 hypotheses/s (5.0 in whole lists)",
        "first_pass (queue_full) 1 11.11 %",
        "refused (resource_exhausted) 1 11.11 %",
        "not_sent 1 11.11 %",
        "unfinished 1 11.11 %",
        "latency, all calls 90.05 100.03 200.00 200.00 200.00",
    ):
        assert line in lines
    assert lines[-1].startswith("Some calls were not sent: too many calls were under way.")


def test_a_report_without_calls_has_no_percentiles():
    """A run without calls has no percentiles and causes no division by zero."""
    text = " ".join(" ".join(report(result(LoadTally(0.1)))).split())
    assert "latency, rescored none" in text
    assert "0 calls due" in text
