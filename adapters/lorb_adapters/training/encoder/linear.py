"""Linear layers with gradients; oneDNN computes their products where it can."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lorb_adapters.encoder import onednn


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Returns x W^T + bias, [tokens, outputs], differentiable with respect to all three arguments.

    x: [tokens, inputs]. weight: W, [outputs, inputs].
    """
    if x.dtype != torch.float32 or not onednn.supports(x.device, x.dtype):
        return functional.linear(x, weight, bias)  # which calls oneDNN in bfloat16
    out: Tensor = _Linear.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return out


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Returns x W^T + bias, [tokens, outputs], without gradients; arguments as for `linear`, or transposed views.

    oneDNN converts the layout of the weight in each call, which takes 2% of a training step's product.
    """
    if onednn.supports(x.device, x.dtype):
        return onednn.linear(x, weight, bias)
    return functional.linear(x, weight, bias)


class _Linear(torch.autograd.Function):
    """`linear` in fp32. torch's own function would compute the product and both gradients with MKL."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:  # noqa: ANN401 - torch has no type
        ctx.save_for_backward(x if weight.requires_grad else None, weight)
        return product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            product(grad, weight.T) if needs_x else None,
            product(grad.T, x.T) if needs_weight else None,
            grad.sum(0) if needs_bias else None,
        )
