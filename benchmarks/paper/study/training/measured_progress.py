"""Measures a training's costs: time of its steps, tokens until each evaluation, and peak memory."""

import time
from dataclasses import dataclass

from lorb_adapters.training.checkpoint import DevEvaluation, StepReport, TrainingState
from lorb_adapters.training.progress import TrainingProgress
from study.training.memory import MemoryMark, give_back_freed_pages


@dataclass(frozen=True, slots=True)
class MeasuredEvaluation:
    """An evaluation on dev.

    Attributes:
        step: the last step before it.
        wer: WER on dev in per cent, with the weight that is best there.
        tokens: number of tokens trained on until then.
    """

    step: int
    wer: float
    tokens: int


class MeasuredProgress(TrainingProgress):
    """Measures time and memory from the trainer's reports.

    A step lasts from the previous report to its own. Two kinds of steps are not timed: the first one, which includes
    one-time work, and those right after an evaluation, which include writing a checkpoint.
    """

    def __init__(self, memory: MemoryMark, *, by_clock: bool = False) -> None:
        """by_clock: whether minutes are wall-clock time, as on a GPU, or processor time."""
        super().__init__()
        self._clock = time.perf_counter if by_clock else time.process_time
        self._by_clock = by_clock
        self.measured_evaluations: list[MeasuredEvaluation] = []
        self.peak_bytes: int | None = None
        self.preparing_seconds = 0.0
        self._memory = memory
        self._began = self._clock()
        self._marks: tuple[float, float] | None = None
        self._timed_tokens = 0
        self._timed_cpu = self._timed_wall = 0.0

    def __enter__(self) -> "MeasuredProgress":
        self.preparing_seconds = self._clock() - self._began
        give_back_freed_pages()
        super().__enter__()
        return self

    def resume(self, state: TrainingState) -> None:
        """Restores an earlier run's evaluations. Its peak memory stays unknown."""
        super().resume(state)
        for evaluation in state.evaluations:
            tokens = sum(step.num_tokens for step in self.steps if step.step <= evaluation.step)
            self.measured_evaluations.append(MeasuredEvaluation(evaluation.step, evaluation.wer, tokens))

    @property
    def tokens_per_cpu_second(self) -> float:
        """Tokens trained on in a second of processor time."""
        return self._timed_tokens / self._timed_cpu if self._timed_cpu else 0.0

    @property
    def tokens_per_second(self) -> float:
        """Tokens trained on in a second of wall-clock time."""
        return self._timed_tokens / self._timed_wall if self._timed_wall else 0.0

    def minutes(self, evaluation: MeasuredEvaluation) -> float:
        """Minutes until an evaluation: the preparation, plus its tokens divided by the run's mean speed."""
        speed = self.tokens_per_second if self._by_clock else self.tokens_per_cpu_second
        return (self.preparing_seconds + (evaluation.tokens / speed if speed else 0.0)) / 60

    def __call__(self, report: StepReport | DevEvaluation) -> None:
        """Measures the step of a report, then passes the report on."""
        cpu, wall = time.process_time(), time.perf_counter()
        if isinstance(report, StepReport):
            self._time(report, cpu, wall)
        super().__call__(report)
        if isinstance(report, DevEvaluation):
            self.measured_evaluations.append(MeasuredEvaluation(report.step, report.wer, self.num_tokens))
        self._marks = (cpu, wall) if isinstance(report, StepReport) else None

    def _time(self, report: StepReport, cpu: float, wall: float) -> None:
        if self._marks is not None:
            self._timed_tokens += report.num_tokens
            self._timed_cpu += cpu - self._marks[0]
            self._timed_wall += wall - self._marks[1]
        if not self.measured_evaluations:  # evaluations need more memory than steps, equal for all methods
            self.peak_bytes = self._memory.peak_beyond_bytes()
