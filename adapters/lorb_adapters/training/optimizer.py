"""AdamW with its schedule, clipping and moving average, in a form that stops and goes on to the bit."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lorb.errors import InvalidInput
from lorb_adapters.training.checkpoint import TrainingState
from lorb_adapters.training.config import TrainConfig


class Optimizer:
    """Moves trained values by their gradients."""

    def __init__(self, tensors: Mapping[str, Tensor], config: TrainConfig, state: TrainingState) -> None:
        """tensors: leaves with gradients, which hold what `state` says already."""
        self._names, self._tensors, self._config = list(tensors), list(tensors.values()), config
        self._adam = torch.optim.AdamW(
            self._tensors, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        for name, tensor in tensors.items():
            if name in state.mean:
                self._adam.state[tensor] = {
                    "step": torch.tensor(float(state.step), device=_step_device(tensor)),
                    "exp_avg": state.mean[name].to(tensor.device, copy=True),
                    "exp_avg_sq": state.square[name].to(tensor.device, copy=True),
                }
        self._average: list[Tensor] = []
        if config.ema_decay:
            start = state.average or tensors
            self._average = [start[name].detach().clone().to(tensor.device) for name, tensor in tensors.items()]

    @property
    def gradients(self) -> Sequence[Tensor]:
        """Of every value, in order; zeros where the last loss did not read it."""
        for tensor in self._tensors:
            if tensor.grad is None:
                tensor.grad = torch.zeros_like(tensor)
        return [tensor.grad for tensor in self._tensors if tensor.grad is not None]

    def clear(self) -> None:
        """Forgets the gradients."""
        self._adam.zero_grad()

    def move(self, step: int, num_steps: int) -> float:
        """One step from the gradients that are there; returns their norm before it was clipped.

        Raises InvalidInput where they are not finite: nothing good comes after that.
        """
        for group in self._adam.param_groups:
            group["lr"] = self._config.learning_rate * schedule(step, num_steps, self._config.warmup_fraction)
        norm = float(torch.nn.utils.clip_grad_norm_(self._tensors, self._config.max_gradient_norm))
        if not norm < float("inf"):  # this way round NaN too
            raise InvalidInput(
                f"the gradient of step {step} is not finite: lower --learning-rate, and look for lists with extreme "
                "first-pass scores",
                field="learning-rate",
            )
        self._adam.step()
        if self._average:
            # early averages would be mostly the beginning (as in TensorFlow's ExponentialMovingAverage)
            decay = min(self._config.ema_decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(self._average, [tensor.detach() for tensor in self._tensors], 1 - decay)
        return norm

    def evaluated(self) -> dict[str, Tensor]:
        """A copy of what dev judges: the average where there is one, or the values as they are."""
        values = self._average or self._tensors
        return {name: tensor.detach().clone() for name, tensor in zip(self._names, values, strict=True)}

    def moments(self) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """Mean, square and moving average by name, as a TrainingState has them; not copied."""
        states = {
            name: self._adam.state[tensor]
            for name, tensor in zip(self._names, self._tensors, strict=True)
            if tensor in self._adam.state
        }
        mean = {name: each["exp_avg"] for name, each in states.items()}
        square = {name: each["exp_avg_sq"] for name, each in states.items()}
        return mean, square, dict(zip(self._names, self._average, strict=False))


def schedule(step: int, num_steps: int, warmup_fraction: float) -> float:
    """Share of the peak learning rate: linear up to the warm-up's end, then linear to 0 after the last step."""
    warmup = max(1, round(warmup_fraction * num_steps))
    return step / warmup if step <= warmup else (num_steps - step + 1) / (num_steps - warmup + 1)


def _step_device(tensor: Tensor) -> torch.device:
    return tensor.device  # the fused step counts where the values are
