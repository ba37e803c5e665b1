"""The training loop: MWER with the correlation regulariser, on the frozen base."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from lorb_adapters.head import HeadWeights
from lorb_adapters.lora import AdapterWeights
from lorb_adapters.model import RescoringModel
from lorb_adapters.ranking import RankPrior
from lorb_adapters.sites import fresh_weights
from lorb_adapters.text import EncodedRow
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.evaluation import Evaluation, evaluate
from lorb_adapters.training.lists import ReferencedList, score_lists, training_first_pass
from lorb_adapters.training.losses import correlation_penalty, mwer_loss
from lorb_adapters.training.tuning import scored, tune_weight


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one step did. `mwer` and `correlation` are the two losses apart, the latter before its weight."""

    step: int
    num_steps: int
    epoch: float
    mwer: float
    correlation: float
    gradient_norm: float
    num_tokens: int


@dataclass(frozen=True, slots=True)
class DevReport:
    """What dev said after a step."""

    step: int
    epoch: float
    weight: float
    wer: float
    is_best: bool


Report = Callable[[StepReport | DevReport], None]


@dataclass(frozen=True, slots=True)
class Trained:
    """The best adapter on dev, with dev's scores by it."""

    weights: AdapterWeights
    dev_scores: list[list[float]]
    num_steps: int


def train(
    model: RescoringModel,
    config: TrainConfig,
    train_lists: Sequence[ReferencedList],
    dev_lists: Sequence[ReferencedList],
    prior: RankPrior,
    report: Report,
) -> Trained:
    """Trains LoRA and head from a fresh start and keeps what is best on dev.

    train_lists: those with contrast. `report` hears of every step and every look at dev.
    """
    training = _Training(model, config, prior)
    best: Trained | None = None
    fewest_errors, evaluations_without_gain = float("inf"), 0
    steps_per_epoch = -(-len(train_lists) // config.lists_per_step)
    num_steps = min(config.epochs * steps_per_epoch, config.max_steps or config.epochs * steps_per_epoch)
    evaluate_every = max(1, steps_per_epoch // config.evaluations_per_epoch)
    for step, batch in enumerate(_batches(train_lists, config, num_steps), start=1):
        epoch = step / steps_per_epoch
        report(training.step(batch, step, num_steps, epoch))
        if step % evaluate_every and step != num_steps:
            continue
        weights = training.snapshot()
        scores, weight, evaluation = _look_at_dev(model, weights, dev_lists, prior)
        errors = int(evaluation.rescored.sum())
        is_best = errors < fewest_errors
        report(DevReport(step, epoch, weight, evaluation.percent(evaluation.rescored), is_best))
        evaluations_without_gain = 0 if is_best else evaluations_without_gain + 1
        if is_best:
            best, fewest_errors = Trained(weights, scores, step), errors
        if config.patience and evaluations_without_gain >= config.patience:
            break
    if best is None:
        raise ValueError("there was nothing to train on")
    return best


class _Training:
    """The adapter being trained, its optimiser and its schedule."""

    def __init__(self, model: RescoringModel, config: TrainConfig, prior: RankPrior) -> None:
        generator = torch.Generator().manual_seed(config.seed)
        base = model.base
        start = base.head if base.head and base.head.kind == config.head else None
        head = start or HeadWeights.zeros(config.head, base.hidden_size)
        fresh = fresh_weights(base.encoder, config.lora, head, generator)
        self.weights = _trainable(fresh.to(base.device, torch.float32))
        self._model, self._config, self._prior = model, config, prior
        self._parameters = list(self.weights.tensors())
        self._optimizer = torch.optim.AdamW(self._parameters, lr=config.learning_rate, weight_decay=config.weight_decay)

    def step(self, batch: Sequence[ReferencedList], step: int, num_steps: int, epoch: float) -> StepReport:
        """Forward, backward, one move of the optimiser."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._config.learning_rate * _schedule(step, num_steps, self._config.warmup_fraction)
        rows, by_length, num_tokens = _rows(batch)
        features, sorted_scores = self._model.forward([rows[i] for i in by_length], self.weights)
        scores = torch.zeros_like(sorted_scores).index_copy(
            0, torch.tensor(by_length, device=sorted_scores.device), sorted_scores
        )
        first_pass = [score for each in batch for score in training_first_pass(each, self._prior)]
        errors = [count for each in batch for count in each.errors]
        mwer = mwer_loss(
            scores.new_tensor(first_pass) + scores,
            scores.new_tensor(errors),
            [len(each.rows) for each in batch],
        )
        correlation = correlation_penalty(features)
        self._optimizer.zero_grad()
        (mwer + self._config.correlation_weight * correlation).backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, self._config.max_gradient_norm)
        self._optimizer.step()
        return StepReport(step, num_steps, epoch, mwer.item(), correlation.item(), norm.item(), num_tokens)

    def snapshot(self) -> AdapterWeights:
        """A copy of the adapter as it is now."""
        copied = {site: (a.detach().clone(), b.detach().clone()) for site, (a, b) in self.weights.lora.items()}
        head = self.weights.head
        return replace(
            self.weights,
            lora=copied,
            head=replace(head, weight=head.weight.detach().clone(), bias=head.bias.detach().clone()),
        )


def draw_hypotheses(each: ReferencedList, count: int, rng: random.Random) -> ReferencedList:
    """The list with its first pass's best and `count` - 1 of the others, in first-pass order."""
    if len(each.rows) <= count:
        return each
    kept = [0, *sorted(rng.sample(range(1, len(each.rows)), count - 1))]
    return replace(
        each,
        distinct=tuple(each.distinct[i] for i in kept),
        rows=tuple(each.rows[i] for i in kept),
        errors=tuple(each.errors[i] for i in kept),
    )


def _look_at_dev(
    model: RescoringModel, weights: AdapterWeights, dev_lists: Sequence[ReferencedList], prior: RankPrior
) -> tuple[list[list[float]], float, Evaluation]:
    scores = list(score_lists(model, weights, dev_lists))
    weight = tune_weight(scored(dev_lists, scores, prior))
    return scores, weight, evaluate(dev_lists, scores, prior, weight)


def _batches(lists: Sequence[ReferencedList], config: TrainConfig, num_steps: int) -> Iterator[list[ReferencedList]]:
    """`num_steps` batches; every epoch has its own order and its own hypotheses, drawn from the seed."""
    rng = random.Random(config.seed)  # noqa: S311 - an order, not a secret
    while True:
        order = rng.sample(range(len(lists)), len(lists))
        for start in range(0, len(order), config.lists_per_step):
            if num_steps == 0:
                return
            num_steps -= 1
            chosen = order[start : start + config.lists_per_step]
            yield [draw_hypotheses(lists[i], config.hypotheses_per_list, rng).with_reference() for i in chosen]


def _rows(batch: Sequence[ReferencedList]) -> tuple[list[EncodedRow], list[int], int]:
    rows = [row for each in batch for row in each.rows]
    by_length = sorted(range(len(rows)), key=lambda i: rows[i].num_tokens)
    return rows, by_length, sum(row.num_tokens for row in rows)


def _schedule(step: int, num_steps: int, warmup_fraction: float) -> float:
    """Share of the peak learning rate: linear up to the warm-up's end, then linear to 0 after the last step."""
    warmup = max(1, round(warmup_fraction * num_steps))
    return step / warmup if step <= warmup else (num_steps - step + 1) / (num_steps - warmup + 1)


def _trainable(weights: AdapterWeights) -> AdapterWeights:
    for tensor in weights.tensors():
        tensor.requires_grad_(True)
    return weights
