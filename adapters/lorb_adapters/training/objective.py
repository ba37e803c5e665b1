"""What a step minimises: the losses of its lists, which may be spread over several processes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lorb_adapters.ranking import RankPrior
from lorb_adapters.training.batches import shares
from lorb_adapters.training.config import MWED, ONE_PER_LIST, TrainConfig
from lorb_adapters.training.data.encoded_lists import ReferencedList, training_first_pass
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
    """A step's losses in this process.

    Attributes:
        total: what to differentiate; the gradients of all processes add up to the step's. None without lists here.
        values: each loss before its weight, by name; those of all processes add up to the step's.
        weighted: their weighted sum, likewise.
    """

    total: Tensor | None
    values: Mapping[str, Tensor]
    weighted: Tensor


@dataclass(frozen=True, slots=True)
class _Pass:
    """One forward pass: features [rows, hidden], rescoring scores and those with the first pass', [rows]."""

    features: Tensor
    rescoring: Tensor
    combined: Tensor


class Objective:
    """Losses of lists by a method, as the configuration weighs them."""

    def __init__(self, method: Method, config: TrainConfig, prior: RankPrior, processes: Processes) -> None:
        self._method, self._config, self._prior, self._processes = method, config, prior, processes
        self._device = method.base.device
        main = "mwed" if config.loss == MWED else "mwer"
        self._weights = {main: 1.0}
        if config.uses_teacher:
            self._weights["distillation"] = config.distillation_weight
        self._weights["correlation"] = config.correlation_weight
        if config.r_drop_weight:
            self._weights["r_drop"] = config.r_drop_weight

    def __call__(self, batch: Sequence[ReferencedList], step: int) -> StepLosses:
        """The losses of one step. batch: all its lists, the same in every process, which takes its share."""
        parts = shares([each.num_tokens for each in batch], self._processes.size)
        own = [batch[i] for i in parts[self._processes.rank]]
        passes = [self._forward(own, step, number) for number in range(2 if self._config.r_drop_weight else 1)]
        values = self._of_lists(own, batch, passes) if own else {}
        values["correlation"] = self._correlation(batch, parts, passes[0].features) / self._processes.size
        values = {name: values.get(name, torch.zeros((), device=self._device)) for name in self._weights}
        # every process has the whole correlation but only its own rows' share of the gradient
        scale = {"correlation": self._processes.size}
        weighted = torch.stack([self._weights[name] * value for name, value in values.items()]).sum()
        total = torch.stack(
            [self._weights[name] * scale.get(name, 1) * value for name, value in values.items() if self._weights[name]]
        ).sum()
        return StepLosses(total if own else None, values, weighted)

    def _forward(self, own: Sequence[ReferencedList], step: int, number: int) -> _Pass:
        config, device = self._config, self._device
        rows = [row for each in own for row in each.rows]
        if not rows:
            nothing = torch.zeros(0, device=device)
            return _Pass(nothing.new_zeros(0, self._method.base.hidden_size), nothing, nothing)
        dropout = (
            Dropout(config.dropout, device, config.seed, step, self._processes.rank, number) if config.dropout else None
        )
        by_length = sorted(range(len(rows)), key=lambda i: rows[i].num_tokens)
        features, scores = self._method.forward([rows[i] for i in by_length], dropout)
        back = torch.empty(len(rows), dtype=torch.long)
        back[torch.tensor(by_length)] = torch.arange(len(rows))
        back = back.to(device)
        rescoring = scores[back]
        first_pass = [score for each in own for score in training_first_pass(each, self._prior)]
        return _Pass(features[back], rescoring, rescoring.new_tensor(first_pass) + rescoring)

    def _of_lists(
        self, own: Sequence[ReferencedList], batch: Sequence[ReferencedList], passes: Sequence[_Pass]
    ) -> dict[str, Tensor]:
        """Losses that are means over lists or rows, each weighed with this process' share of the step's."""
        sizes = [len(each.rows) for each in own]
        errors = torch.tensor([count for each in own for count in each.errors], device=self._device)
        share = len(own) / len(batch)
        loss = mwed_loss if self._config.loss == MWED else mwer_loss
        name = "mwed" if self._config.loss == MWED else "mwer"
        values = {name: share * _mean([loss(each.combined, errors, sizes) for each in passes])}
        if self._config.uses_teacher:
            values["distillation"] = self._distillation(own, batch, passes)
        if self._config.r_drop_weight:
            values["r_drop"] = share * r_drop_loss(passes[0].combined, passes[1].combined, sizes)
        return values

    def _distillation(
        self, own: Sequence[ReferencedList], batch: Sequence[ReferencedList], passes: Sequence[_Pass]
    ) -> Tensor:
        teacher = torch.tensor([score for each in own for score in each.teacher], device=self._device)
        taught = ~teacher.isnan()  # a reference that joins the hypotheses has no teacher's score
        num_taught = sum(score == score for each in batch for score in each.teacher)
        share = int(taught.sum()) / max(1, num_taught)
        return share * _mean([distillation_loss(each.rescoring[taught], teacher[taught]) for each in passes])

    def _correlation(self, batch: Sequence[ReferencedList], parts: Sequence[Sequence[int]], features: Tensor) -> Tensor:
        """The penalty on the rows of all processes."""
        one_per_list = self._config.correlation_rows == ONE_PER_LIST
        sizes = [[len(batch[i].rows) for i in part] for part in parts]
        if one_per_list and len(features):
            first = torch.tensor([0, *sizes[self._processes.rank]]).cumsum(0)[:-1]
            features = features[first.to(features.device)]
        if not self._config.correlation_weight:
            features = features.detach()  # told, and not minimised
        counts = [len(part) if one_per_list else sum(part) for part in sizes]
        return correlation_penalty(self._processes.gather_rows(features, counts))


def _mean(values: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean()
