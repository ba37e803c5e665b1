"""A run's course: its stages one after another, each from where the last checkpoint says that it stood."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic, Protocol, TypeVar

from torch import Tensor

from lorb_adapters.pretraining.config import BuildConfig
from lorb_adapters.pretraining.corpus.sentences import reading_order
from lorb_adapters.pretraining.encoder_trainer import EncoderTrainer
from lorb_adapters.process_memory import KeptPages
from lorb_adapters.text import EncodedHypothesis
from lorb_adapters.training.checkpoint import TrainingState
from lorb_adapters.training.methods.method import Tensors
from lorb_adapters.training.optimizer import Optimizer
from lorb_adapters.training.progress import TrainingProgress
from lorb_adapters.training.run_folder import RunFolder
from lorb_adapters.training.step_report import StepReport


class ReadRow(Protocol):
    """A sentence as the model reads it, with what it is to learn from it."""

    @property
    def row(self) -> EncodedHypothesis:
        """Its tokens."""
        ...


Row = TypeVar("Row", bound=ReadRow)


@dataclass(frozen=True, slots=True)
class Stage(Generic[Row]):
    """A loop of steps over sentences.

    Attributes:
        name: of what it does; also of its loss, in the report's course.
        learner: what is trained.
        pool_size: how many sentences it draws from; each pass over them has its own order.
        num_sentences: read in all.
        draw: the rows of sentences by their numbers in the pool, sorted by length; what is drawn for the first of them
            depends on the seed and its place in the reading, the second argument, alone.
        loss: of the rows of a step, with gradients.
    """

    name: str
    learner: EncoderTrainer
    pool_size: int
    num_sentences: int
    draw: Callable[[Sequence[int], int], Sequence[Row]]
    loss: Callable[[Sequence[Row]], Tensor]

    def batches(self, config: BuildConfig, steps_done: int) -> Iterator[Sequence[Row]]:
        """The rows of each step from there on; the last one may have fewer."""
        size = config.sentences_per_step
        order = reading_order(self.pool_size, config.seed, steps_done * size, self.num_sentences)
        for first in range(steps_done * size, self.num_sentences, size):
            yield self.draw(list(islice(order, size)), first)


class StagedTrainer:
    """Where a run stands, and how it goes on: the same to the bit wherever it was stopped.

    Attributes:
        state: as the next checkpoint will have it.
        progress: what hears of it.
        pages: of freed memory, to be bounded after every pass.
    """

    def __init__(
        self, folder: RunFolder, config: BuildConfig, progress: TrainingProgress, checkpoint_seconds: float
    ) -> None:
        """Takes over the checkpoint in the folder, if there is one; raises InvalidInput where it is torn."""
        content = folder.load()
        self.state = TrainingState.from_bytes(content, "the run's checkpoint") if content else TrainingState(now={})
        self.progress = progress
        self._folder, self._config, self._checkpoint_seconds = folder, config, checkpoint_seconds
        self._last_kept = time.monotonic()
        self.pages = KeptPages()
        if content:
            progress.resume(self.state)

    @property
    def stage(self) -> int:
        """Number of the present stage, from 0; that of stages where all have ended."""
        return len(self.state.stage_ends)

    @property
    def stage_seconds(self) -> list[float]:
        """What each stage that has ended took."""
        ends = self.state.stage_ends
        return [end - start for start, end in zip([0.0, *ends], ends, strict=False)]

    def train(self, stage: Stage[Row]) -> None:
        """Brings the present stage, which `stage` describes, to its end."""
        state = self.state
        if state.now:
            stage.learner.restore(state.now)
        self.progress.begin_stage(stage.name, state.step)
        optimizer = Optimizer(stage.learner.tensors, self._config.training, state)
        for step, batch in enumerate(stage.batches(self._config, state.step), start=state.step + 1):
            done = self._step(stage, optimizer, batch, step)
            self.pages.bound()
            self.progress(done)
            state.step = step
            state.steps.append(done)
            if step < done.num_steps and self.is_time_to_keep:
                state.now = dict(stage.learner.tensors)
                state.mean, state.square, state.average = optimizer.moments()
                self.keep()

    def advance(self, tensors: Tensors) -> None:
        """Ends the present stage. tensors: what the next one begins with, or the run ends with."""
        state = self.state
        state.stage_ends.append(self.progress.seconds)
        state.step, state.mean, state.square, state.average = 0, {}, {}, {}
        state.now = dict(tensors)
        self.keep()

    @property
    def is_time_to_keep(self) -> bool:
        """Whether the last checkpoint is old enough for another."""
        return time.monotonic() - self._last_kept >= self._checkpoint_seconds

    def keep(self) -> None:
        """Writes a checkpoint of the state as it is."""
        self.state.seconds = self.progress.seconds
        self._folder.save(self.state.to_bytes())
        self._last_kept = time.monotonic()

    def _step(self, stage: Stage[Row], optimizer: Optimizer, batch: Sequence[Row], step: int) -> StepReport:
        """Forward, backward, one move of the optimiser."""
        size = self._config.sentences_per_step
        num_steps = -(-stage.num_sentences // size)
        optimizer.clear()
        loss = stage.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = optimizer.move(step, num_steps)
        value = float(loss.detach())
        num_tokens = sum(each.row.num_tokens for each in batch)
        return StepReport(step, num_steps, step * size / stage.pool_size, {stage.name: value}, value, norm, num_tokens)
