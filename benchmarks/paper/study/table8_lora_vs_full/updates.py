"""Computes the weight updates of a training, a matrix for each linear layer."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lorb_adapters.lora.config import ALL_LINEAR
from lorb_adapters.lora.weights import AdapterWeights, linear_modules


def adapter_updates(weights: AdapterWeights) -> dict[str, Tensor]:
    """The products scaling * B A, [out, in], by the path of the linear layer."""
    return {path: weights.config.scaling * (b @ a) for path, (a, b) in weights.lora.items()}


def linear_weights(encoder: nn.Module) -> dict[str, Tensor]:
    """Copies of the weights that an adapter can change, [out, in], by the path of the linear layer."""
    return {path: linear.weight.detach().clone() for path, linear in linear_modules(encoder, ALL_LINEAR).items()}


def differences(after: Mapping[str, Tensor], before: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """After minus before, by path."""
    return {path: after[path] - before[path] for path in before}


@torch.no_grad()
def outside_norm(after: nn.Module, before: nn.Module) -> float:
    """The norm of the change outside linear weights (embeddings, biases, LayerNorms) over that of all, 0 to 1."""
    linear = {f"{path}.weight" for path in linear_modules(before, ALL_LINEAR)}
    trained = dict(after.named_parameters())
    squares = {name: float((trained[name] - old).square().sum()) for name, old in before.named_parameters()}
    total = sum(squares.values())
    outside = sum(square for name, square in squares.items() if name not in linear)
    return (outside / total) ** 0.5 if total else 0.0
