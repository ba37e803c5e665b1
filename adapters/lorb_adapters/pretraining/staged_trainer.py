"""Trains a base in stages with checkpoints. A resumed run gives bit-identical results."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic, Protocol, TypeVar

from torch import Tensor

from lorb_adapters.pretraining.config import BuildConfig
from lorb_adapters.pretraining.corpus.sentences import shuffled_order
from lorb_adapters.pretraining.encoder_trainer import EncoderTrainer
from lorb_adapters.process_memory import HeapTrimmer
from lorb_adapters.text import EncodedHypothesis
from lorb_adapters.training.checkpoint import StepReport, TrainingState
from lorb_adapters.training.methods.method import Tensors
from lorb_adapters.training.optimizer import Optimizer
from lorb_adapters.training.progress import TrainingProgress
from lorb_adapters.training.run_folder import RunFolder


class TrainingExample(Protocol):
    """An encoded sentence with its targets."""

    @property
    def encoded(self) -> EncodedHypothesis:
        """The sentence's tokens."""
        ...


Example = TypeVar("Example", bound=TrainingExample)


@dataclass(frozen=True, slots=True)
class Stage(Generic[Example]):
    """A training loop over sentences.

    Attributes:
        name: name of the stage and of its loss, in reports.
        model: the model to train.
        pool_size: number of sentences that the stage draws from; each epoch has its own order.
        num_sentences: number of sentences to read, in all epochs together.
        draw: `draw(numbers, first)` makes the examples of the sentences with these numbers, sorted by length. `first`
            is the first sentence's position among all that the stage reads. Random draws depend only on a sentence's
            position and the seed.
        loss: computes the loss of a step's examples, with gradients.
    """

    name: str
    model: EncoderTrainer
    pool_size: int
    num_sentences: int
    draw: Callable[[Sequence[int], int], Sequence[Example]]
    loss: Callable[[Sequence[Example]], Tensor]

    def batches(self, config: BuildConfig, steps_done: int) -> Iterator[Sequence[Example]]:
        """Yields the examples of each remaining step; the last step may have fewer than the others."""
        size = config.sentences_per_step
        order = shuffled_order(self.pool_size, config.seed, steps_done * size, self.num_sentences)
        for first in range(steps_done * size, self.num_sentences, size):
            yield self.draw(list(islice(order, size)), first)


class StagedTrainer:
    """Runs the stages of an objective and saves checkpoints.

    Attributes:
        state: the content of the next checkpoint.
        progress: receives reports and log lines.
        heap_trimmer: returns freed memory to the kernel; called after every batch.
    """

    def __init__(
        self, folder: RunFolder, config: BuildConfig, progress: TrainingProgress, checkpoint_seconds: float
    ) -> None:
        """Continues from the folder's checkpoint, if there is one; raises InvalidInput if that cannot be read."""
        content = folder.load()
        self.state = TrainingState.from_bytes(content, "the run's checkpoint") if content else TrainingState(tensors={})
        self.progress = progress
        self.heap_trimmer = HeapTrimmer()
        self._folder, self._config, self._checkpoint_seconds = folder, config, checkpoint_seconds
        self._last_checkpoint = time.monotonic()
        if content:
            progress.resume(self.state)

    @property
    def stage_number(self) -> int:
        """Number of the current stage, counted from 0; after the last stage, the number of stages."""
        return len(self.state.stage_end_seconds)

    @property
    def stage_seconds(self) -> list[float]:
        """Duration of each stage that has ended, in seconds."""
        ends = self.state.stage_end_seconds
        return [end - start for start, end in zip([0.0, *ends], ends, strict=False)]

    def train(self, stage: Stage[Example]) -> None:
        """Runs the remaining steps of `stage`, which must be the current one."""
        state = self.state
        if state.tensors:
            stage.model.restore(state.tensors)
        self.progress.begin_stage(stage.name, state.step)
        optimizer = Optimizer(stage.model.tensors, self._config.training, state)
        for step, batch in enumerate(stage.batches(self._config, state.step), start=state.step + 1):
            report = self._step(stage, optimizer, batch, step)
            self.heap_trimmer.trim_if_grown()
            self.progress(report)
            state.step = step
            state.steps.append(report)
            if step < report.num_steps and self.is_checkpoint_due:
                state.tensors = dict(stage.model.tensors)
                state.first_moments, state.second_moments, state.moving_average = optimizer.state_tensors()
                self.save_checkpoint()

    def end_stage(self, tensors: Tensors) -> None:
        """Ends the current stage.

        tensors: the parameters that the next stage starts from; after the last stage, the trained parameters.
        """
        state = self.state
        state.stage_end_seconds.append(self.progress.seconds)
        state.step, state.first_moments, state.second_moments, state.moving_average = 0, {}, {}, {}
        state.tensors = dict(tensors)
        self.save_checkpoint()

    @property
    def is_checkpoint_due(self) -> bool:
        """Whether `checkpoint_seconds` have passed since the last checkpoint."""
        return time.monotonic() - self._last_checkpoint >= self._checkpoint_seconds

    def save_checkpoint(self) -> None:
        """Writes the current state."""
        self.state.seconds = self.progress.seconds
        self._folder.save(self.state.to_bytes())
        self._last_checkpoint = time.monotonic()

    def _step(self, stage: Stage[Example], optimizer: Optimizer, batch: Sequence[Example], step: int) -> StepReport:
        """Runs one forward pass, backward pass and optimiser step."""
        size = self._config.sentences_per_step
        num_steps = -(-stage.num_sentences // size)
        optimizer.zero_grad()
        loss = stage.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = optimizer.step(step, num_steps)
        value = float(loss.detach())
        num_tokens = sum(each.encoded.num_tokens for each in batch)
        return StepReport(step, num_steps, step * size / stage.pool_size, {stage.name: value}, value, norm, num_tokens)
