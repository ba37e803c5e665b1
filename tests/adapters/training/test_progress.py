"""Progress: lines with the time left where there is no terminal, and the course of the run kept for the report."""

import pytest

from lorb_adapters.training import progress as progress_module
from lorb_adapters.training.checkpoint import DevEvaluation, StepReport, TrainingState
from lorb_adapters.training.progress import TrainingProgress, format_duration


class SimulatedClock:
    """Stands in for time.monotonic; moves when told."""

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


def test_lines_come_every_ten_seconds_with_the_time_left(simulated, capsys):
    """At two seconds a step, the fifth of 100 steps says 3:10 left; the four before say nothing."""
    with TrainingProgress() as progress:
        for number in range(1, 6):
            simulated.now += 2
            progress(step(number))
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert lines == ["step 5/100  epoch 0.10  mwer -0.5  correlation +30  100 tokens/s  3:10 left"]


def test_a_stage_has_its_own_pace(simulated, capsys):
    """After 90 seconds of another stage, ten seconds for one step of a hundred leave 16:30, at its tokens a second."""
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
    """Resumed after step 50, five steps in ten seconds leave 1:30 for 45."""
    with TrainingProgress() as progress:
        progress.begin_stage("masked LM", 50)
        for number in range(51, 56):
            simulated.now += 2
            progress(step(number))
    assert capsys.readouterr().err.splitlines()[-1].endswith("1:30 left")


def test_looks_at_dev_are_told_and_kept(simulated, capsys):
    """Each look at dev is one line, the best one marked, and all are kept in order."""
    looks = [DevEvaluation(50, 1.0, 0.7, 16.25, True), DevEvaluation(100, 2.0, 0.8, 16.5, False)]
    with TrainingProgress() as progress:
        for look in looks:
            progress(look)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "dev after step 50 (epoch 1.00): WER 16.25 with weight 0.70  best so far"
    assert "best" not in lines[1]
    assert progress.dev_evaluations == looks


def test_what_comes_before_the_first_step_tells_its_time_left(simulated, capsys):
    """Six seconds a tenth, counted from the first tenth on: a line after the third, with 42 seconds left."""
    progress = TrainingProgress()
    simulated.now += 1000
    for done in range(1, 4):
        progress.report_preparation("frozen layers", 10 * done, 100)
        simulated.now += 6
    assert capsys.readouterr().err.splitlines() == ["frozen layers: 30%  0:42 left"]


def test_quiet_says_nothing_and_still_counts(simulated, capsys):
    """With --quiet the figures for the report are the same."""
    with TrainingProgress(quiet=True) as progress:
        simulated.now += 60
        progress(step(1))
    assert capsys.readouterr().err == ""
    assert progress.num_tokens == 200


def test_a_resumed_run_counts_what_came_before(simulated, capsys):
    """Steps, tokens and seconds of the first part are in the totals."""
    state = TrainingState(tensors={}, step=2, steps=[step(1), step(2)], looks=[], seconds=30.0)
    with TrainingProgress() as progress:
        progress.resume(state)
        simulated.now += 10
        progress(step(3))
    assert "resumed after step 2" in capsys.readouterr().err
    assert progress.seconds == 40.0
    assert progress.num_tokens == 600
    assert len(progress.steps) == 3


def test_clock_reads_minutes_and_seconds():
    """Seconds are always two digits."""
    assert [format_duration(0), format_duration(65.9), format_duration(3600)] == ["0:00", "1:05", "60:00"]
