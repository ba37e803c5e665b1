"""The training loop: steps, evaluations on dev, checkpoints and early stopping."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from lorb_adapters.lora.weights import AdapterWeights
from lorb_adapters.process_memory import HeapTrimmer
from lorb_adapters.ranking import RankPrior
from lorb_adapters.training.batches import balanced_partition, batches, steps_per_epoch
from lorb_adapters.training.checkpoint import BestOnDev, DevEvaluation, ReportCallback, StepReport, TrainingState
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.data.encoded_lists import EncodedList
from lorb_adapters.training.evaluation.tuning import scored_lists, tune_weight
from lorb_adapters.training.methods import Lora, Method
from lorb_adapters.training.objective import Objective
from lorb_adapters.training.optimizer import Optimizer
from lorb_adapters.training.processes import Processes


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """The trained parameters that had the fewest word errors on dev.

    Attributes:
        tensors: trained parameters by name.
        dev_scores: rescoring scores of each dev list's distinct hypotheses, natural log scale.
        evaluation_scores: the same scores at each evaluation of the run, in order.
        num_steps: completed steps when the parameters were copied.
        weights: the parameters as an adapter; None for methods that make no adapter.
    """

    tensors: Mapping[str, Tensor]
    dev_scores: list[list[float]]
    evaluation_scores: list[list[list[float]]]
    num_steps: int
    weights: AdapterWeights | None


def train(
    method: Method,
    config: TrainConfig,
    train_lists: Sequence[EncodedList],
    dev_lists: Sequence[EncodedList],
    prior: RankPrior,
    report: ReportCallback,
    *,
    state: TrainingState | None = None,
    save: Callable[[TrainingState], None] | None = None,
    checkpoint_seconds: float = 60.0,
    processes: Processes | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> TrainedModel:
    """Trains `method`; returns the parameters that did best on dev, which are the same in all processes.

    train_lists: lists whose hypotheses differ in word errors. report: is called with the figures of every step and of
    every evaluation. state: the state from which an interrupted run continues. The run must have had the same
    configuration and lists; the result then has the same bits as that of an uninterrupted run. save: is called with the
    state after every evaluation, and after a step if `checkpoint_seconds` have passed since the last call.
    """
    training = _Training(method, config, prior, processes or Processes(), state)
    current = training.state
    started, last_saved = clock() - current.seconds, clock()
    heap_trimmer = HeapTrimmer()
    epoch_steps = steps_per_epoch(len(train_lists), config)
    num_steps = min(config.epochs * epoch_steps, config.max_steps or config.epochs * epoch_steps)
    evaluate_every = max(1, epoch_steps // config.evaluations_per_epoch)
    remaining = () if current.is_done else islice(batches(train_lists, config, num_steps), current.step, None)
    for step, batch in enumerate(remaining, start=current.step + 1):
        step_report = training.step(batch, step, num_steps, step / epoch_steps)
        heap_trimmer.trim_if_grown()
        report(step_report)
        evaluates = step % evaluate_every == 0 or step == num_steps
        if evaluates:
            report(training.evaluate_dev(dev_lists, step / epoch_steps))
            current.is_done = step == num_steps or 0 < config.patience <= current.evaluations_without_gain
        if save and (evaluates or clock() - last_saved >= checkpoint_seconds):
            current.seconds = clock() - started
            save(training.checkpoint_state())
            last_saved = clock()
        if current.is_done:
            break
    if current.best is None:
        raise ValueError("no list to train on")
    weights = method.weights(current.best.tensors) if isinstance(method, Lora) else None
    sizes = [len(each.rows) for each in dev_lists]
    return TrainedModel(
        current.best.tensors,
        current.best.dev_scores,
        [[part.tolist() for part in torch.split(scores, sizes)] for scores in current.evaluation_scores],
        current.best.step,
        weights,
    )


class _Training:
    """A method in training, with its objective, optimiser and state."""

    def __init__(
        self,
        method: Method,
        config: TrainConfig,
        prior: RankPrior,
        processes: Processes,
        state: TrainingState | None,
    ) -> None:
        if state is not None:
            method.restore(state.tensors)
        self.state = state or TrainingState(tensors={})
        self._method, self._prior, self._processes = method, prior, processes
        self._objective = Objective(method, config, prior, processes)
        self._optimizer = Optimizer(method.tensors, config, self.state)

    def step(self, batch: Sequence[EncodedList], step: int, num_steps: int, epoch: float) -> StepReport:
        """Runs a forward pass, a backward pass and one optimiser step; returns the figures of the step.

        The new parameters are equal in all processes.
        """
        self._optimizer.zero_grad()
        losses = self._objective(batch, step)
        if losses.total is not None:
            losses.total.backward()  # type: ignore[no-untyped-call]
        self._processes.sum(self._optimizer.gradients)
        reported = torch.stack([*losses.values.values(), losses.weighted]).detach()
        self._processes.sum([reported])
        norm = self._optimizer.step(step, num_steps)
        *values, total = reported.tolist()
        step_report = StepReport(
            step=step,
            num_steps=num_steps,
            epoch=epoch,
            losses=dict(zip(losses.values, values, strict=True)),
            total=total,
            gradient_norm=norm,
            num_tokens=sum(each.num_tokens for each in batch),
        )
        self.state.step = step
        self.state.steps.append(step_report)
        return step_report

    def evaluate_dev(self, dev_lists: Sequence[EncodedList], epoch: float) -> DevEvaluation:
        """Scores dev with all processes and tunes the weight; returns the figures of the evaluation.

        Keeps a copy of the parameters if they are the best so far.
        """
        state, tensors = self.state, self._optimizer.evaluation_tensors()
        scores = self._dev_scores(tensors, dev_lists)
        ranked = scored_lists(dev_lists, scores, self._prior)
        weight = tune_weight(ranked)
        errors = sum(each.top_errors(weight) for each in ranked)
        state.evaluation_scores.append(torch.tensor([score for each in scores for score in each], dtype=torch.float32))
        is_best = state.best is None or errors < state.best.errors
        state.evaluations_without_gain = 0 if is_best else state.evaluations_without_gain + 1
        if is_best:
            state.best = BestOnDev(tensors, scores, state.step, errors)
        num_words = sum(each.num_words for each in dev_lists)
        evaluation = DevEvaluation(state.step, epoch, weight, 100 * errors / max(1, num_words), is_best)
        state.evaluations.append(evaluation)
        return evaluation

    def checkpoint_state(self) -> TrainingState:
        """Returns the state. It holds the current tensors, not copies: write it before the next step changes them."""
        state = self.state
        state.tensors = dict(self._method.tensors)
        state.first_moments, state.second_moments, state.moving_average = self._optimizer.state_tensors()
        return state

    def _dev_scores(self, tensors: Mapping[str, Tensor], dev_lists: Sequence[EncodedList]) -> list[list[float]]:
        processes = self._processes
        if processes.size == 1:
            return self._method.scores(tensors, dev_lists)
        own = balanced_partition([each.num_tokens for each in dev_lists], processes.size)[processes.rank]
        own_scores = dict(zip(own, self._method.scores(tensors, [dev_lists[i] for i in own]), strict=True))
        flat = [score for i, each in enumerate(dev_lists) for score in own_scores.get(i, [0.0] * len(each.rows))]
        all_scores = torch.tensor(flat, dtype=torch.float64, device=self._method.base.device)
        processes.sum([all_scores])
        return [part.tolist() for part in torch.split(all_scores, [len(each.rows) for each in dev_lists])]
