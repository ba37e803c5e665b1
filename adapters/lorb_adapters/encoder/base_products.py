"""A layer's four products as the base alone has them, by the fastest calls of the device."""

import torch
from torch import Tensor

from lorb_adapters.encoder import onednn
from lorb_adapters.encoder.bert_layer import Linear
from lorb_adapters.encoder.workspace import Workspace


class BaseProducts:
    """x W^T + bias, into buffers that the next product of that name overwrites, or from oneDNN anew."""

    def __init__(self, dtype: torch.dtype, scratch: Workspace) -> None:
        """dtype: of inputs, outputs and products; weights in another are converted for every product."""
        self.dtype = dtype
        self._scratch = scratch

    def plain(self, name: str, x: Tensor, linear: Linear) -> Tensor:
        """X W^T + bias, [tokens, out]; x: [tokens, in]."""
        if linear.packed is not None:
            return onednn.linear(x, linear.packed, linear.bias)
        return torch.addmm(linear.bias, x, self._weight(linear).T, out=self.buffer(name, x, linear))

    def onto_residual(self, name: str, residual: Tensor, x: Tensor, linear: Linear) -> Tensor:
        """Residual + x W^T + bias: the product is added to the other two, not they to it."""
        if linear.packed is not None:
            return onednn.linear_onto(residual, x, linear.packed, linear.bias)
        out = torch.add(residual, linear.bias, out=self.buffer(name, x, linear))
        return self.onto(out, x, linear)

    def onto(self, out: Tensor, x: Tensor, linear: Linear) -> Tensor:
        """Adds x W^T, without the bias, to `out` in place."""
        return out.addmm_(x, self._weight(linear).T)

    def buffer(self, name: str, x: Tensor, linear: Linear) -> Tensor:
        """Where a product of that name goes, [tokens, out]."""
        return self._scratch.take(name, (x.shape[0], linear.weight.shape[0]), self.dtype)

    def _weight(self, linear: Linear) -> Tensor:
        if linear.weight.dtype == self.dtype:
            return linear.weight
        return self._scratch.take("weight", tuple(linear.weight.shape), self.dtype).copy_(linear.weight)
