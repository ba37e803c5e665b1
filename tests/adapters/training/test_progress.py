"""Progress: lines with the remaining time without a terminal, and the reports kept for the run's report."""

import pytest

from lorb_adapters.training import progress as progress_module
from lorb_adapters.training.checkpoint import DevEvaluation, StepReport, TrainingState
from lorb_adapters.training.progress import TrainingProgress, format_duration


class SimulatedClock:
    """Replaces time.monotonic; the tests advance `now`."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def simulated(monkeypatch):
    simulated = SimulatedClock()
    monkeypatch.setattr(progress_module.time, "monotonic", simulated)
    return simulated


def step(number):
    return StepReport(number, 100, number / 50, {"mwer": -0.5, "correlation": 30.0}, -0.47, 1.0, 200)


def test_a_line_every_ten_seconds_shows_the_time_left(simulated, capsys):
    """At two seconds a step, the fifth of 100 steps prints 3:10 left; the four before print nothing."""
    with TrainingProgress() as progress:
        for number in range(1, 6):
            simulated.now += 2
            progress(step(number))
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert lines == ["step 5/100  epoch 0.10  mwer -0.5  correlation +30  100 tokens/s  3:10 left"]


def test_a_stage_has_its_own_speed(simulated, capsys):
    """Time left and tokens per second count from the start of the stage, not of the run."""
    with TrainingProgress() as progress:
        simulated.now += 90
        progress(step(1))
        progress.begin_stage("distillation", 0)
        simulated.now += 10
        progress(step(1))
    lines = capsys.readouterr().err.splitlines()
    assert lines[-2] == "stage: distillation"
    assert lines[-1].endswith("20 tokens/s  16:30 left")
    assert progress.seconds == 100


def test_a_resumed_stage_counts_the_steps_of_this_process(simulated, capsys):
    """A stage resumed after step 50 estimates the time left from the five steps done since: 1:30 for 45."""
    with TrainingProgress() as progress:
        progress.begin_stage("masked LM", 50)
        for number in range(51, 56):
            simulated.now += 2
            progress(step(number))
    assert capsys.readouterr().err.splitlines()[-1].endswith("1:30 left")


def test_evaluations_are_shown_and_kept(simulated, capsys):
    """Each evaluation is one line, the best one marked, and all are kept in order."""
    evaluations = [DevEvaluation(50, 1.0, 0.7, 16.25, True), DevEvaluation(100, 2.0, 0.8, 16.5, False)]
    with TrainingProgress() as progress:
        for evaluation in evaluations:
            progress(evaluation)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "dev after step 50 (epoch 1.00): WER 16.25 with weight 0.70  best so far"
    assert "best" not in lines[1]
    assert progress.dev_evaluations == evaluations


def test_preparation_shows_its_time_left(simulated, capsys):
    """At six seconds per tenth, the third tenth prints a line with 42 seconds left."""
    progress = TrainingProgress()
    simulated.now += 1000
    for done in range(1, 4):
        progress.report_preparation("frozen layers", 10 * done, 100)
        simulated.now += 6
    assert capsys.readouterr().err.splitlines() == ["frozen layers: 30%  0:42 left"]


def test_a_second_preparation_has_its_own_speed(simulated, capsys):
    """Another name, or the same name from the start, measures its speed anew, and equal numbers divide by nothing."""
    progress = TrainingProgress()
    for what, seconds in (("frozen layers", 6), ("teacher", 12), ("teacher", 6)):
        for done in range(1, 4):
            progress.report_preparation(what, 10 * done, 100)
            simulated.now += seconds
    simulated.now += 60
    progress.report_preparation("last", 50, 100)
    simulated.now += 60
    progress.report_preparation("last", 50, 100)
    assert capsys.readouterr().err.splitlines() == [
        "frozen layers: 30%  0:42 left",
        "teacher: 20%  1:36 left",
        "teacher: 30%  1:24 left",
        "teacher: 30%  0:42 left",
    ]


def test_quiet_prints_nothing_but_records(simulated, capsys):
    """With --quiet nothing is printed and tokens are counted."""
    with TrainingProgress(quiet=True) as progress:
        simulated.now += 60
        progress(step(1))
    assert capsys.readouterr().err == ""
    assert progress.num_tokens == 200


def test_a_resumed_run_includes_its_earlier_part(simulated, capsys):
    """Steps, tokens and seconds before the resume are in the totals."""
    state = TrainingState(tensors={}, step=2, steps=[step(1), step(2)], evaluations=[], seconds=30.0)
    with TrainingProgress() as progress:
        progress.resume(state)
        simulated.now += 10
        progress(step(3))
    assert "resumed after step 2" in capsys.readouterr().err
    assert progress.seconds == 40.0
    assert progress.num_tokens == 600
    assert len(progress.steps) == 3


def test_a_duration_is_minutes_and_seconds():
    """Seconds always have two digits."""
    assert [format_duration(0), format_duration(65.9), format_duration(3600)] == ["0:00", "1:05", "60:00"]


def test_time_stops_with_the_loop(simulated):
    """After the loop, time spent on the report is not added to the seconds of training."""
    with TrainingProgress(quiet=True) as progress:
        simulated.now += 60
    simulated.now += 1000
    assert progress.seconds == 60
