"""What a run shows while it works: a bar with the time left on a terminal, a line now and then elsewhere."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lorb_adapters.training.checkpoint import TrainingState
from lorb_adapters.training.step_report import DevReport, StepReport

_SECONDS_BETWEEN_LINES = 10.0
_SMOOTHING = 0.05


class TrainingProgress:
    """Listens to a training loop. Writes to stderr; `quiet` keeps silent and still counts."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.num_tokens = 0
        self.steps: list[StepReport] = []
        self.looks_at_dev: list[DevReport] = []
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
        self._seconds_before = 0.0
        self._stage = (0.0, 0, 0)  # seconds, steps of it and tokens so far when this process began the present stage
        self._preparing_since: tuple[float, int] | None = None
        self._smoothed: dict[str, float] = {}

    def resume(self, state: TrainingState) -> None:
        """Takes over the course of a run that goes on."""
        self.steps, self.looks_at_dev = list(state.steps), list(state.looks)
        self.num_tokens = sum(step.num_tokens for step in state.steps)
        self._seconds_before = state.seconds
        self.say(f"resumed after step {state.step}")

    def __enter__(self) -> "TrainingProgress":
        self._started = self._last_line = time.monotonic()
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    @property
    def seconds(self) -> float:
        """Spent in the loop, in earlier parts of a resumed run too."""
        return self._seconds_before + time.monotonic() - self._started

    def say(self, text: str) -> None:
        """A line of its own."""
        self._console.print(text, markup=False, soft_wrap=True)

    def begin_stage(self, name: str, steps_done: int) -> None:
        """The steps to come are of another stage, and count from `steps_done`; its pace is its own."""
        self._stage = (self.seconds, steps_done, self.num_tokens)
        self._smoothed = {}
        self._bar.reset(self._task, total=None)
        self.say(f"stage: {name}")

    def preparing(self, what: str, done: int, total: int) -> None:
        """A line now and then about what comes before steps; `done` grows from call to call."""
        now = time.monotonic()
        if self._preparing_since is None:
            self._preparing_since, self._last_line = (now, done), now
        if now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            started, done_then = self._preparing_since
            left = (total - done) * (now - started) / (done - done_then)
            self.say(f"{what}: {100 * done // total}%  {clock(left)} left")

    def __call__(self, report: StepReport | DevReport) -> None:
        """Takes what the loop reports."""
        if isinstance(report, DevReport):
            self._look_at_dev(report)
        else:
            self._step(report)

    def _step(self, report: StepReport) -> None:
        self.steps.append(report)
        self.num_tokens += report.num_tokens
        for name, value in report.losses.items():
            before = self._smoothed.get(name, value)
            self._smoothed[name] = before + _SMOOTHING * (value - before)
        losses = "  ".join(f"{name} {value:+.4g}" for name, value in self._smoothed.items())
        self._bar.update(self._task, completed=report.step, total=report.num_steps, description=losses)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            seconds_then, step_then, tokens_then = self._stage
            seconds = self.seconds - seconds_then
            left = (report.num_steps - report.step) * seconds / (report.step - step_then)
            self.say(
                f"step {report.step}/{report.num_steps}  epoch {report.epoch:.2f}  {losses}  "
                f"{(self.num_tokens - tokens_then) / seconds:.0f} tokens/s  {clock(left)} left"
            )

    def _look_at_dev(self, report: DevReport) -> None:
        self.looks_at_dev.append(report)
        best = "  best so far" if report.is_best else ""
        self.say(
            f"dev after step {report.step} (epoch {report.epoch:.2f}): "
            f"WER {report.wer:.2f} with weight {report.weight:.2f}{best}"
        )


def clock(seconds: float) -> str:
    """Minutes and seconds, as 3:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
