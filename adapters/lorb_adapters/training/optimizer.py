"""AdamW with its learning-rate schedule, gradient clipping and moving average; a resumed run gives the same bits."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lorb.errors import InvalidInput
from lorb_adapters.training.checkpoint import TrainingState
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.methods.method import HEAD_BIAS

_NORM = re.compile(r"LayerNorm|\bnorm\b")  # names in transformers' encoders, and in the masked-LM head


class Optimizer:
    """Updates the trained tensors in place from their gradients."""

    def __init__(self, tensors: Mapping[str, Tensor], config: TrainConfig, state: TrainingState) -> None:
        """Continues from `state`.

        tensors: leaf tensors that require gradients; they already have the values of `state.tensors`.
        """
        self._names, self._tensors, self._config = list(tensors), list(tensors.values()), config
        decayed = [tensor for name, tensor in tensors.items() if is_decayed(name)]
        others = [tensor for name, tensor in tensors.items() if not is_decayed(name)]
        groups: list[dict[str, Any]] = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
        self._adam = torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
        for name, tensor in tensors.items():
            if name in state.first_moments:
                self._adam.state[tensor] = {
                    # the fused implementation counts steps on the tensor's own device
                    "step": torch.tensor(float(state.step), device=tensor.device),
                    "exp_avg": state.first_moments[name].to(tensor.device, copy=True),
                    "exp_avg_sq": state.second_moments[name].to(tensor.device, copy=True),
                }
        self._average: list[Tensor] = []
        if config.ema_decay:
            start = state.moving_average or tensors
            self._average = [start[name].detach().clone().to(tensor.device) for name, tensor in tensors.items()]

    @property
    def gradients(self) -> Sequence[Tensor]:
        """The gradient of every tensor, in order; zeros for tensors that the last loss did not depend on."""
        for tensor in self._tensors:
            if tensor.grad is None:
                tensor.grad = torch.zeros_like(tensor)
        return [tensor.grad for tensor in self._tensors if tensor.grad is not None]

    def zero_grad(self) -> None:
        """Clears the gradients."""
        self._adam.zero_grad()

    def step(self, step: int, num_steps: int) -> float:
        """Applies the current gradients as step `step` of `num_steps`; returns their norm before clipping.

        Raises InvalidInput if the norm is not finite: AdamW's moments could not recover from it.
        """
        for group in self._adam.param_groups:
            group["lr"] = self._config.learning_rate * schedule(step, num_steps, self._config.warmup_fraction)
        norm = float(torch.nn.utils.clip_grad_norm_(self._tensors, self._config.max_gradient_norm))
        if not norm < float("inf"):  # true for NaN too
            raise InvalidInput(
                f"the gradient of step {step} is not finite: lower --learning-rate, and look for lists with extreme "
                "first-pass scores",
                field="learning-rate",
            )
        self._adam.step()
        if self._average:
            # A constant decay would keep early averages close to the initial values, so the decay starts low, as in
            # TensorFlow's ExponentialMovingAverage with num_updates.
            decay = min(self._config.ema_decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(self._average, [tensor.detach() for tensor in self._tensors], 1 - decay)
        return norm

    def evaluation_tensors(self) -> dict[str, Tensor]:
        """Returns a copy of the values to evaluate: the moving average if there is one, else the current values."""
        values = self._average or self._tensors
        return {name: tensor.detach().clone() for name, tensor in zip(self._names, values, strict=True)}

    def state_tensors(self) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """Returns (first moments, second moments, moving average), each by parameter name; nothing is copied."""
        states = {
            name: self._adam.state[tensor]
            for name, tensor in zip(self._names, self._tensors, strict=True)
            if tensor in self._adam.state
        }
        first_moments = {name: each["exp_avg"] for name, each in states.items()}
        second_moments = {name: each["exp_avg_sq"] for name, each in states.items()}
        return first_moments, second_moments, dict(zip(self._names, self._average, strict=False))


def is_decayed(name: str) -> bool:
    """Returns whether weight decay applies to a trained tensor: not to biases and LayerNorms, except the head's bias.

    Decay pulls values to 0, but a LayerNorm's neutral weight is 1, and a bias adds nothing that decay should limit
    (Devlin et al. 2019 leave both out too). The head's bias stays in: an adapter trained again has the same bits as
    before.
    """
    return name == HEAD_BIAS or not (name.endswith("bias") or _NORM.search(name))


def schedule(step: int, num_steps: int, warmup_fraction: float) -> float:
    """Returns step `step`'s fraction of the peak learning rate: linear warm-up, then linear decay.

    The decay would reach 0 one step after the last step.
    """
    warmup = max(1, round(warmup_fraction * num_steps))
    return step / warmup if step <= warmup else (num_steps - step + 1) / (num_steps - warmup + 1)
