"""The objective of one training step: the weighted losses of the step's lists, divided among the processes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lorb_adapters.ranking import RankPrior
from lorb_adapters.training.batches import balanced_partition
from lorb_adapters.training.config import MWED, ONE_PER_LIST, TrainConfig
from lorb_adapters.training.data.encoded_lists import EncodedList
from lorb_adapters.training.encoder.dropout import Dropout
from lorb_adapters.training.losses import (
    correlation_penalty,
    distillation_loss,
    mwed_loss,
    mwer_loss,
    r_drop_loss,
)
from lorb_adapters.training.methods import Method
from lorb_adapters.training.processes import Processes


@dataclass(frozen=True, slots=True)
class StepLosses:
    """The losses of one step in this process.

    Attributes:
        total: the scalar to differentiate; the sum of its gradients over all processes is the gradient of the step.
            None if this process has no lists of the step.
        values: this process's part of each unweighted loss, by name. The parts of all processes sum to the loss of the
            step.
        weighted: the weighted sum of `values`. Its sum over all processes is the weighted loss of the step.
    """

    total: Tensor | None
    values: Mapping[str, Tensor]
    weighted: Tensor


@dataclass(frozen=True, slots=True)
class _ForwardPass:
    """The results of a forward pass. features: [rows, hidden]. rescoring, combined: scores, natural log, [rows]."""

    features: Tensor
    rescoring: Tensor
    combined: Tensor


class Objective:
    """Computes the losses of a step as the configuration weights them."""

    def __init__(self, method: Method, config: TrainConfig, prior: RankPrior, processes: Processes) -> None:
        self._method, self._config, self._prior, self._processes = method, config, prior, processes
        self._device = method.base.device
        self._main_loss = "mwed" if config.loss == MWED else "mwer"
        self._weights = {self._main_loss: 1.0}
        if config.uses_teacher:
            self._weights["distillation"] = config.distillation_weight
        self._weights["correlation"] = config.correlation_weight
        if config.r_drop_weight:
            self._weights["r_drop"] = config.r_drop_weight

    def __call__(self, batch: Sequence[EncodedList], step: int) -> StepLosses:
        """Returns the losses of step `step`.

        batch: all lists of the step, the same in every process; each process computes the losses of some of the lists.
        """
        num_processes = self._processes.size
        parts = balanced_partition([each.num_tokens for each in batch], num_processes)
        own = [batch[i] for i in parts[self._processes.rank]]
        passes = [self._forward(own, step, number) for number in range(2 if self._config.r_drop_weight else 1)]
        values = self._list_losses(own, batch, passes) if own else {}
        values["correlation"] = self._correlation(batch, parts, passes[0].features) / num_processes
        values = {name: values.get(name, torch.zeros((), device=self._device)) for name in self._weights}
        weighted = torch.stack([self._weights[name] * value for name, value in values.items()]).sum()
        # Every process computes the whole correlation penalty, so the reported value is divided by their number above.
        # The gradient must not be divided, because every process gets only the gradient of its own rows.
        gradient_scale = {"correlation": num_processes}
        total = torch.stack(
            [
                self._weights[name] * gradient_scale.get(name, 1) * value
                for name, value in values.items()
                if self._weights[name]
            ]
        ).sum()
        return StepLosses(total if own else None, values, weighted)

    def _forward(self, own: Sequence[EncodedList], step: int, pass_number: int) -> _ForwardPass:
        config, device = self._config, self._device
        rows = [row for each in own for row in each.rows]
        if not rows:
            empty = torch.zeros(0, device=device)
            return _ForwardPass(empty.new_zeros(0, self._method.base.hidden_size), empty, empty)
        dropout = None
        if config.dropout:
            dropout = Dropout(config.dropout, device, config.seed, step, self._processes.rank, pass_number)
        features, rescoring = self._method.forward(rows, dropout)
        first_pass = [score for each in own for score in each.first_pass_scores(self._prior)]
        return _ForwardPass(features, rescoring, rescoring.new_tensor(first_pass) + rescoring)

    def _list_losses(
        self, own: Sequence[EncodedList], batch: Sequence[EncodedList], passes: Sequence[_ForwardPass]
    ) -> dict[str, Tensor]:
        """Returns this process's part of each loss that is a mean over the lists or the hypotheses of the batch."""
        sizes = [len(each.rows) for each in own]
        errors = torch.tensor([count for each in own for count in each.errors], device=self._device)
        share = len(own) / len(batch)
        loss = mwed_loss if self._config.loss == MWED else mwer_loss
        values = {self._main_loss: share * _mean([loss(each.combined, errors, sizes) for each in passes])}
        if self._config.uses_teacher:
            values["distillation"] = self._distillation(own, batch, passes)
        if self._config.r_drop_weight:
            values["r_drop"] = share * r_drop_loss(passes[0].combined, passes[1].combined, sizes)
        return values

    def _distillation(
        self, own: Sequence[EncodedList], batch: Sequence[EncodedList], passes: Sequence[_ForwardPass]
    ) -> Tensor:
        teacher = torch.tensor([score for each in own for score in each.teacher], device=self._device)
        has_teacher = ~teacher.isnan()  # a reference added to the hypotheses has no teacher's score
        num_in_batch = sum(not math.isnan(score) for each in batch for score in each.teacher)
        share = int(has_teacher.sum()) / max(1, num_in_batch)
        return share * _mean([distillation_loss(each.rescoring[has_teacher], teacher[has_teacher]) for each in passes])

    def _correlation(self, batch: Sequence[EncodedList], parts: Sequence[Sequence[int]], features: Tensor) -> Tensor:
        """Returns the correlation penalty on the features of all processes. features: this process's own."""
        one_per_list = self._config.correlation_rows == ONE_PER_LIST
        sizes = [[len(batch[i].rows) for i in part] for part in parts]
        if one_per_list and len(features):
            first_rows = torch.tensor([0, *sizes[self._processes.rank]]).cumsum(0)[:-1]
            features = features[first_rows.to(features.device)]
        if not self._config.correlation_weight:
            features = features.detach()  # a penalty of weight 0 is only reported, so it needs no gradient
        counts = [len(part) if one_per_list else sum(part) for part in sizes]
        return correlation_penalty(self._processes.gather_rows(features, counts))


def _mean(values: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean()
