"""Progress of a run on stderr: a bar with the remaining time on a terminal, a line every ten seconds elsewhere."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lorb_adapters.training.checkpoint import DevEvaluation, StepReport, TrainingState

_SECONDS_BETWEEN_LINES = 10.0
_LOSS_SMOOTHING = 0.05  # weight of the newest step in the moving average of the losses shown


class TrainingProgress:
    """Shows and records the reports of a training loop.

    Attributes:
        steps, dev_evaluations: all reports of the run, in order.
        num_tokens: tokens trained on.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        """quiet: whether to print nothing; reports are recorded in any case."""
        self.num_tokens = 0
        self.steps: list[StepReport] = []
        self.dev_evaluations: list[DevEvaluation] = []
        self._console = Console(stderr=True, quiet=quiet, highlight=False)
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} steps  {task.description}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None)
        self._started = self._last_line = time.monotonic()
        self._ended: float | None = None
        self._seconds_before_resume = 0.0
        # seconds, steps and tokens when this process began the current stage
        self._stage_start = (0.0, 0, 0)
        # name and last number of units of the current preparation; seconds and units at its first report
        self._preparation = ("", 0)
        self._preparation_start = (0.0, 0)
        self._smoothed_losses: dict[str, float] = {}

    def resume(self, state: TrainingState) -> None:
        """Takes over the reports and the training time of an interrupted run, which continues from `state`."""
        self.steps, self.dev_evaluations = list(state.steps), list(state.evaluations)
        self.num_tokens = sum(step.num_tokens for step in state.steps)
        self._seconds_before_resume = state.seconds
        self.log(f"resumed after step {state.step}")

    def __enter__(self) -> "TrainingProgress":
        self._started = self._last_line = time.monotonic()
        self._ended = None
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = time.monotonic()
        self._bar.stop()

    @property
    def seconds(self) -> float:
        """Seconds spent in the loop, including the seconds before the run was resumed."""
        now = time.monotonic() if self._ended is None else self._ended
        return self._seconds_before_resume + now - self._started

    def log(self, text: str) -> None:
        """Prints a line."""
        self._console.print(text, markup=False, soft_wrap=True)

    def begin_stage(self, name: str, steps_done: int) -> None:
        """Starts a stage, whose speed and remaining time are measured anew.

        steps_done: number of the stage's steps that were completed before the run was resumed.
        """
        self._stage_start = (self.seconds, steps_done, self.num_tokens)
        self._smoothed_losses = {}
        self._bar.reset(self._task, total=None)
        self.log(f"stage: {name}")

    def report_preparation(self, what: str, done: int, total: int) -> None:
        """Prints a line every ten seconds about work that precedes the steps.

        what: name of the work; another name, or a smaller number of units, begins another work. done: number of units
        of the work finished so far. total: number of units of the whole work.
        """
        now = time.monotonic()
        name, last_done = self._preparation
        self._preparation = (what, done)
        if what != name or done < last_done:
            self._preparation_start, self._last_line = (now, done), now
        started, done_before = self._preparation_start
        if done > done_before and now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            seconds_left = (total - done) * (now - started) / (done - done_before)
            self.log(f"{what}: {100 * done // total}%  {format_duration(seconds_left)} left")

    def __call__(self, report: StepReport | DevEvaluation) -> None:
        """Records and shows a report of the loop."""
        if isinstance(report, DevEvaluation):
            self._show_evaluation(report)
        else:
            self._show_step(report)

    def _show_step(self, report: StepReport) -> None:
        self.steps.append(report)
        self.num_tokens += report.num_tokens
        for name, value in report.losses.items():
            before = self._smoothed_losses.get(name, value)
            self._smoothed_losses[name] = before + _LOSS_SMOOTHING * (value - before)
        losses = "  ".join(f"{name} {value:+.4g}" for name, value in self._smoothed_losses.items())
        self._bar.update(self._task, completed=report.step, total=report.num_steps, description=losses)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            start_seconds, start_step, start_tokens = self._stage_start
            seconds = self.seconds - start_seconds
            seconds_left = (report.num_steps - report.step) * seconds / (report.step - start_step)
            self.log(
                f"step {report.step}/{report.num_steps}  epoch {report.epoch:.2f}  {losses}  "
                f"{(self.num_tokens - start_tokens) / seconds:.0f} tokens/s  {format_duration(seconds_left)} left"
            )

    def _show_evaluation(self, evaluation: DevEvaluation) -> None:
        self.dev_evaluations.append(evaluation)
        best = "  best so far" if evaluation.is_best else ""
        self.log(
            f"dev after step {evaluation.step} (epoch {evaluation.epoch:.2f}): "
            f"WER {evaluation.wer:.2f} with weight {evaluation.weight:.2f}{best}"
        )


def format_duration(seconds: float) -> str:
    """Returns minutes and seconds, such as 3:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
