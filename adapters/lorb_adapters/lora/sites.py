"""The encoder's linear layers, each applying any mix of adapters in one pass.

h = W0 x + scaling * B A x   (Hu et al. 2021); W0 is never written to.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lorb_adapters.lora.head import HeadWeights
from lorb_adapters.lora.weights import ALL_LINEAR, AdapterWeights, LoraConfig


def lora_sites(encoder: nn.Module, target_modules: Sequence[str]) -> dict[str, nn.Linear]:
    """The encoder's linear layers that an adapter with these targets covers, by module path, in forward order."""
    sites: dict[str, nn.Linear] = {}
    for path, module in encoder.named_modules():
        linear = module.base if isinstance(module, LoraSite) else module
        name = path.rpartition(".")[2]
        if isinstance(linear, nn.Linear) and name in target_modules and "pooler" not in path:
            sites[path] = linear
    return sites


def adapted_sites(encoder: nn.Module, config: LoraConfig) -> dict[str, nn.Linear]:
    """The encoder's linear layers that an adapter of this shape covers, by module path, in forward order."""
    return {path: linear for path, linear in lora_sites(encoder, ALL_LINEAR).items() if config.covers(path)}


@dataclass(slots=True)
class LoraPass:
    """Which adapter applies to which tokens in the pass that is running; one for each model.

    segments: (first token, end, adapter), in order and without overlap; tokens outside have the base alone.
    """

    segments: tuple[tuple[int, int, AdapterWeights], ...] = field(default=())


class LoraSite(nn.Module):
    """A linear layer of the base with the running pass's adapters beside it."""

    def __init__(self, base: nn.Linear, path: str, running: LoraPass) -> None:
        super().__init__()
        self.base = base
        self.path = path
        self.running = running

    def forward(self, x: Tensor) -> Tensor:
        """x: [1, tokens, in]; returns [1, tokens, out]."""
        segments = [
            (start, stop, weights.lora[self.path], weights.config.scaling)
            for start, stop, weights in self.running.segments
            if self.path in weights.lora
        ]
        if torch.is_grad_enabled():
            return self._with_gradient(x, segments)
        out = functional.linear(x, self.base.weight, self.base.bias)
        for start, stop, (a, b), scaling in segments:
            out[0, start:stop].addmm_(x[0, start:stop] @ a.T, b.T, alpha=scaling)
        return out

    def _with_gradient(self, x: Tensor, segments: Sequence[tuple[int, int, tuple[Tensor, Tensor], float]]) -> Tensor:
        if not segments:
            return functional.linear(x, self.base.weight, self.base.bias)
        if len(segments) > 1 or segments[0][:2] != (0, x.shape[1]):
            raise ValueError("gradients flow through one adapter over all tokens, not through a mix")
        [(_, _, (a, b), scaling)] = segments
        out: Tensor = _LoraLinear.apply(x[0], self.base.weight, self.base.bias, a, b, scaling)  # type: ignore[no-untyped-call]
        return out[None]


class _LoraLinear(torch.autograd.Function):
    """y = x W0^T + bias + scaling (x A^T) B^T, with gradients to x, A and B alone.

    Autograd's own operators would compute the same with a temporary of x's size for each scaling and each sum.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch has no public type for it
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        a: Tensor,
        b: Tensor,
        scaling: float,
    ) -> Tensor:
        low_rank = x @ a.T  # [tokens, rank]
        ctx.save_for_backward(x, weight, a, b, low_rank)
        ctx.scaling = scaling
        return functional.linear(x, weight, bias).addmm_(low_rank, b.T, alpha=scaling)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, weight, a, b, low_rank = ctx.saved_tensors
        grad_low_rank = (grad @ b) * ctx.scaling  # [tokens, rank]
        grad_x = (grad @ weight).addmm_(grad_low_rank, a) if ctx.needs_input_grad[0] else None
        grad_b = (grad.T @ low_rank) * ctx.scaling
        return grad_x, None, None, grad_low_rank.T @ x, grad_b, None


def inject(encoder: nn.Module) -> LoraPass:
    """Puts a LoraSite in place of every linear layer that an adapter may target; returns the pass they follow.

    An encoder that has its sites keeps them: two models of one encoder follow one pass, and neither loses its adapters.
    """
    for module in encoder.modules():
        if isinstance(module, LoraSite):
            return module.running
    running = LoraPass()
    for path, linear in lora_sites(encoder, ALL_LINEAR).items():
        parent, _, name = path.rpartition(".")
        setattr(encoder.get_submodule(parent), name, LoraSite(linear, path, running))
    return running


def fresh_weights(
    encoder: nn.Module, config: LoraConfig, head: HeadWeights, generator: torch.Generator
) -> AdapterWeights:
    """An adapter that changes nothing yet: A Kaiming-uniform(sqrt 5), B zero (loralib's initialisation)."""
    lora = {}
    for path, linear in adapted_sites(encoder, config).items():
        bound = 1 / math.sqrt(linear.in_features)  # kaiming_uniform_ with a = sqrt(5)
        a = torch.empty(config.rank, linear.in_features).uniform_(-bound, bound, generator=generator)
        lora[path] = (a, torch.zeros(linear.out_features, config.rank))
    return AdapterWeights(config, lora, head)
