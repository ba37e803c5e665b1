"""Measures a training's costs: time of its steps, tokens trained on until each evaluation, peak memory."""

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
        wer: of dev in per cent, with the weight that is best there.
        tokens: trained on until then.
    """

    step: int
    wer: float
    tokens: int


class MeasuredProgress(TrainingProgress):
    """Measures time and memory from the trainer's reports.

    A step takes from the report before to its own. The first step is left out: it includes one-time work. So are the
    steps right after an evaluation: a checkpoint is written before them.
    """

    def __init__(self, memory: MemoryMark, *, by_clock: bool = False) -> None:
        """by_clock: count wall-clock minutes: processor time does not include a GPU's."""
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
        """Takes over an earlier run's evaluations; its peak memory is unknown."""
        super().resume(state)
        for look in state.evaluations:
            tokens = sum(step.num_tokens for step in self.steps if step.step <= look.step)
            self.measured_evaluations.append(MeasuredEvaluation(look.step, look.wer, tokens))

    @property
    def tokens_per_cpu_second(self) -> float:
        """Tokens trained on in a second of processor time."""
        return self._timed_tokens / self._timed_cpu if self._timed_cpu else 0.0

    @property
    def tokens_per_second(self) -> float:
        """Tokens trained on in a second of wall-clock time."""
        return self._timed_tokens / self._timed_wall if self._timed_wall else 0.0

    def minutes(self, evaluation: MeasuredEvaluation) -> float:
        """Minutes of training until an evaluation: preparation, and the tokens at the run's speed."""
        speed = self.tokens_per_second if self._by_clock else self.tokens_per_cpu_second
        return (self.preparing_seconds + (evaluation.tokens / speed if speed else 0.0)) / 60

    def __call__(self, report: StepReport | DevEvaluation) -> None:
        """Measures a report's step, then handles it as every training does."""
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
        if not self.measured_evaluations:  # evaluations need the same memory with every method, and more than steps
            self.peak_bytes = self._memory.peak_beyond_bytes()
