"""The training loop: steps, looks at dev, checkpoints; the best on dev is kept."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from lorb_adapters.lora.weights import AdapterWeights
from lorb_adapters.process_memory import KeptPages
from lorb_adapters.ranking import RankPrior
from lorb_adapters.training.batches import batches, shares, steps_per_epoch
from lorb_adapters.training.checkpoint import Best, TrainingState
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.data.encoded_lists import ReferencedList
from lorb_adapters.training.evaluation.tuning import scored, tune_weight
from lorb_adapters.training.methods import Lora, Method
from lorb_adapters.training.objective import Objective
from lorb_adapters.training.optimizer import Optimizer
from lorb_adapters.training.processes import Processes
from lorb_adapters.training.step_report import DevReport, Report, StepReport

__all__ = ["DevReport", "Report", "StepReport", "Trained", "train"]

CHECKPOINT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Trained:
    """What did best on dev.

    Attributes:
        tensors: trained values by name.
        dev_scores: dev's lists by them.
        num_steps: after which they were taken.
        weights: the same as an adapter; None for methods that make none.
    """

    tensors: Mapping[str, Tensor]
    dev_scores: list[list[float]]
    num_steps: int
    weights: AdapterWeights | None


def train(
    method: Method,
    config: TrainConfig,
    train_lists: Sequence[ReferencedList],
    dev_lists: Sequence[ReferencedList],
    prior: RankPrior,
    report: Report,
    *,
    state: TrainingState | None = None,
    keep: Callable[[TrainingState], None] | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    processes: Processes | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Trained:
    """Trains `method` and keeps what is best on dev.

    train_lists: those with contrast. `report` hears of every step and every look at dev. state: where an earlier run of
    the same configuration and lists stood; from there the course is the same to the bit. keep: takes the state after
    every look at dev, and after a step when `checkpoint_seconds` have passed since it last did. All processes return
    the same.
    """
    training = _Training(method, config, prior, processes or Processes(), state)
    now = training.state
    started, last_kept = clock() - now.seconds, clock()
    pages = KeptPages()
    per_epoch = steps_per_epoch(len(train_lists), config)
    num_steps = min(config.epochs * per_epoch, config.max_steps or config.epochs * per_epoch)
    evaluate_every = max(1, per_epoch // config.evaluations_per_epoch)
    left = () if now.is_done else islice(batches(train_lists, config, num_steps), now.step, None)
    for step, batch in enumerate(left, start=now.step + 1):
        done = training.step(batch, step, num_steps, step / per_epoch)
        pages.bound()
        report(done)
        looks = step % evaluate_every == 0 or step == num_steps
        if looks:
            report(training.evaluate_dev(dev_lists, step / per_epoch))
            now.is_done = step == num_steps or 0 < config.patience <= now.looks_without_gain
        if keep and (looks or clock() - last_kept >= checkpoint_seconds):
            now.seconds = clock() - started
            keep(training.whole_state())
            last_kept = clock()
        if now.is_done:
            break
    if now.best is None:
        raise ValueError("there was nothing to train on")
    weights = method.weights(now.best.tensors) if isinstance(method, Lora) else None
    return Trained(now.best.tensors, now.best.dev_scores, now.best.step, weights)


class _Training:
    """A method in training, with its optimiser and where it stands."""

    def __init__(
        self,
        method: Method,
        config: TrainConfig,
        prior: RankPrior,
        processes: Processes,
        state: TrainingState | None,
    ) -> None:
        if state is not None:
            method.restore(state.now)
        self.state = state or TrainingState(now={})
        self._method, self._prior, self._processes = method, prior, processes
        self._objective = Objective(method, config, prior, processes)
        self._optimizer = Optimizer(method.tensors, config, self.state)

    def step(self, batch: Sequence[ReferencedList], step: int, num_steps: int, epoch: float) -> StepReport:
        """Forward, backward, one move of the optimiser; the same one in all processes."""
        self._optimizer.clear()
        losses = self._objective(batch, step)
        if losses.total is not None:
            losses.total.backward()  # type: ignore[no-untyped-call]
        self._processes.sum(self._optimizer.gradients)
        told = torch.stack([*losses.values.values(), losses.weighted]).detach()
        self._processes.sum([told])
        norm = self._optimizer.move(step, num_steps)
        *values, total = told.tolist()
        done = StepReport(
            step=step,
            num_steps=num_steps,
            epoch=epoch,
            losses=dict(zip(losses.values, values, strict=True)),
            total=total,
            gradient_norm=norm,
            num_tokens=sum(each.num_tokens for each in batch),
        )
        self.state.step = step
        self.state.steps.append(done)
        return done

    def evaluate_dev(self, dev_lists: Sequence[ReferencedList], epoch: float) -> DevReport:
        """Scores dev, each process its share, tunes the weight, and keeps what is better than all before."""
        state, tensors = self.state, self._optimizer.evaluated()
        scores = self._dev_scores(tensors, dev_lists)
        ranked = scored(dev_lists, scores, self._prior)
        weight = tune_weight(ranked)
        errors = sum(each.chosen_errors(weight) for each in ranked)
        is_best = state.best is None or errors < state.best.errors
        state.looks_without_gain = 0 if is_best else state.looks_without_gain + 1
        if is_best:
            state.best = Best(tensors, scores, state.step, errors)
        num_words = sum(each.num_words for each in dev_lists)
        look = DevReport(state.step, epoch, weight, 100 * errors / max(1, num_words), is_best)
        state.looks.append(look)
        return look

    def whole_state(self) -> TrainingState:
        """The state with the values as they are now; to be written before the next step changes them."""
        self.state.now = dict(self._method.tensors)
        self.state.mean, self.state.square, self.state.average = self._optimizer.moments()
        return self.state

    def _dev_scores(self, tensors: Mapping[str, Tensor], dev_lists: Sequence[ReferencedList]) -> list[list[float]]:
        processes = self._processes
        if processes.size == 1:
            return self._method.scores(tensors, dev_lists)
        own = shares([each.num_tokens for each in dev_lists], processes.size)[processes.rank]
        mine = dict(zip(own, self._method.scores(tensors, [dev_lists[i] for i in own]), strict=True))
        flat = [score for i, each in enumerate(dev_lists) for score in mine.get(i, [0.0] * len(each.rows))]
        together = torch.tensor(flat, dtype=torch.float64, device=self._method.base.device)
        processes.sum([together])
        return [part.tolist() for part in torch.split(together, [len(each.rows) for each in dev_lists])]
