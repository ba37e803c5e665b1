"""lorb_client.rescore.cli: lists that the server has no time or room for are sent again, and counted."""

import json

import pytest

from lorb.errors import DeadlineExceeded, Overloaded
from lorb.ranked import FallbackReason, Outcome, Ranked, RankedHypothesis
from lorb_client.rescore.cli import main
from support.servers.rescoring_server import reversed_ranking

WER = "WER first-pass 50.00 rescored 0.00 oracle 0.00"


def degraded(nbest, outcome=Outcome.FIRST_PASS, reason=FallbackReason.DEADLINE):
    """The list in first-pass order."""
    return Ranked(tuple(RankedHypothesis(i, h.transcript) for i, h in enumerate(nbest.hypotheses)), outcome,
                  nbest.id, reason)  # fmt: skip


@pytest.fixture
def scarce(service):
    """Lets the server answer each attempt for a list with the next of these answers; the last one repeats."""

    def script(*answers):
        attempts = {}

        def answer(nbest, options):
            attempts[nbest.id] = attempts.get(nbest.id, 0) + 1
            given = answers[min(attempts[nbest.id], len(answers)) - 1]
            if isinstance(given, Exception):
                raise given
            return reversed_ranking(nbest, options) if given is None else degraded(nbest, *given)

        service.answer = answer
        return attempts

    return script


@pytest.mark.parametrize("reason", [FallbackReason.DEADLINE, FallbackReason.QUEUE_FULL])
@pytest.mark.parametrize("outcome", [Outcome.FIRST_PASS, Outcome.PARTIAL])
def test_a_list_without_time_or_room_is_sent_again(target, scarce, small_file, capsys, outcome, reason):
    """A list that was not rescored in full is sent again, and the run's figures are those of rescored lists."""
    attempts = scarce((outcome, reason), None)
    assert main([str(small_file), "--target", target]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[-1] == WER
    assert "outcomes    rescored 2" in lines
    assert "retried             2   lists that the server first had no time or room for" in lines
    assert (attempts, captured.err) == ({"u1": 2, "u2": 2}, "")


def test_further_attempts_have_more_time_and_a_call_of_their_own(target, service, scarce, small_file):
    """Each further attempt is a call of one list, with twice the deadline of the attempt before."""
    scarce((), (), None)
    assert main([str(small_file), "--target", target, "--timeout-seconds", "100"]) == 0
    calls = [(len(request.requests), seconds) for _, request, seconds, _ in service.calls[1:]]
    assert [size for size, _ in calls] == [2, 1, 1, 1, 1]
    assert [round(seconds / 100) for _, seconds in calls] == [1, 2, 4, 2, 4]


def test_what_still_falls_back_is_counted_beside_the_rates(target, scarce, small_file, tmp_path, capsys):
    """Lists that no attempt rescores are counted on the last line and marked in the file, and the status is 4."""
    scarce(())
    out = tmp_path / "out.jsonl"
    assert main([str(small_file), "--target", target, "-o", str(out), "--timeout-seconds", "1"]) == 4
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1] == (
        "WER first-pass 50.00 rescored 50.00 oracle 0.00 (1 of 1 lists not rescored in full)"
    )
    assert captured.err.startswith("lorb-rescore: 2 of 2 lists were not rescored in full: ")
    written = [json.loads(line)["lorb"] for line in out.read_text().splitlines()]
    assert [(each["outcome"], each["fallback_reason"]) for each in written] == [("first_pass", "deadline")] * 2


def test_one_list_of_a_hundred_is_no_failure(target, service, tmp_path, capsys):
    """If no more than 1 % of the lists were not rescored in full, the line counts them and the status is 0."""
    path = tmp_path / "in.jsonl"
    lines = [f'{{"id": "u{i}", "ref": "a", "hyps": [{{"text": "a"}}, {{"text": "b"}}]}}\n' for i in range(100)]
    path.write_text("".join(lines))
    reason = FallbackReason.INVALID_SCORE
    service.answer = lambda nbest, options: (
        degraded(nbest, reason=reason) if nbest.id == "u7" else reversed_ranking(nbest, options)
    )
    assert main([str(path), "--target", target]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(" (1 of 100 lists not rescored in full)")


def test_what_time_cannot_change_is_not_sent_again(target, scarce, small_file, capsys):
    """A list with an invalid score is counted after one attempt, and the advice is not to give more time."""
    attempts = scarce((Outcome.FIRST_PASS, FallbackReason.INVALID_SCORE))
    assert main([str(small_file), "--target", target]) == 4
    assert attempts == {"u1": 1, "u2": 1}
    captured = capsys.readouterr()
    assert "(1 of 1 lists not rescored in full)" in captured.out
    assert captured.err == (
        "lorb-rescore: 2 of 2 lists were not rescored in full: "
        "2 with scores that are not finite: roll the adapter back, or train it again\n"
    )


@pytest.mark.parametrize("error", [Overloaded("the queue is full"), DeadlineExceeded("no time")])
def test_fail_does_not_end_the_run_on_one_refusal(target, scarce, small_file, capsys, error):
    """With --fail a list that the server refuses for lack of time or room is sent again."""
    attempts = scarce(error, None)
    assert main([str(small_file), "--target", target, "--fail"]) == 0
    assert attempts == {"u1": 2, "u2": 2}
    assert capsys.readouterr().out.splitlines()[-1] == WER
