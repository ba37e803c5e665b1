"""The four matrix products of a BERT layer: with the base alone, and with LoRA added."""

import enum
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lorb_adapters.encoder import onednn
from lorb_adapters.encoder.memory import Workspace
from lorb_adapters.lora.weights import AdapterWeights


class Projection(enum.IntEnum):
    """The products with weight matrices of one layer, in order. Query, key and value are one product."""

    QKV, ATTENTION_OUT, UP, DOWN = range(4)


# For each product, the paths in the layer of the linear modules that it computes, in the order of their outputs.
PROJECTION_MODULES = {
    Projection.QKV: ("attention.self.query", "attention.self.key", "attention.self.value"),
    Projection.ATTENTION_OUT: ("attention.output.dense",),
    Projection.UP: ("intermediate.dense",),
    Projection.DOWN: ("output.dense",),
}


def module_paths(layer: int, projection: Projection) -> list[str]:
    """Returns the paths in the encoder of the linear modules that a projection computes."""
    return [f"encoder.layer.{layer}.{module}" for module in PROJECTION_MODULES[projection]]


def projection_number(layer: int, projection: Projection) -> int:
    """Returns the index of a projection among the projections of all layers."""
    return len(Projection) * layer + projection


def projection_at(number: int) -> tuple[int, Projection]:
    """Returns the layer and the projection with this index among the projections of all layers."""
    layer, projection = divmod(number, len(Projection))
    return layer, Projection(projection)


def num_modules(number: int) -> int:
    """Returns the number of linear modules of a projection; number: its index, as `projection_at` takes it."""
    return len(PROJECTION_MODULES[projection_at(number)[1]])


def lora_matrices(weights: AdapterWeights, number: int) -> list[tuple[int, Tensor, Tensor]]:
    """Returns a triple (position in the projection, A, B) for each module that an adapter changes in a projection.

    number: the projection's index among the projections of all layers. B is not scaled.
    """
    paths = enumerate(module_paths(*projection_at(number)))
    return [(module, *weights.lora[path]) for module, path in paths if path in weights.lora]


@dataclass(frozen=True, slots=True)
class Linear:
    """The weights of one projection.

    Attributes:
        weight: the matrix W, [outputs, inputs]; in oneDNN's own layout where oneDNN computes the product.
        bias: [outputs].
    """

    weight: Tensor
    bias: Tensor


class BaseProjections:
    """Computes x W^T + bias.

    The next call for the same projection overwrites the result. A result of oneDNN is not overwritten.
    """

    def __init__(self, dtype: torch.dtype, workspace: Workspace) -> None:
        """dtype: the dtype of inputs and outputs. Weights in another dtype are converted for every product."""
        self.dtype = dtype
        self._workspace = workspace

    def project(self, projection: Projection, x: Tensor, linear: Linear) -> Tensor:
        """Returns x W^T + bias, [tokens, outputs]; x: [tokens, inputs]."""
        if linear.weight.is_mkldnn:
            return onednn.linear(x, linear.weight, linear.bias)
        return torch.addmm(linear.bias, x, self._weight(linear).T, out=self._output_buffer(projection, x, linear))

    def project_onto_residual(self, projection: Projection, residual: Tensor, x: Tensor, linear: Linear) -> Tensor:
        """Returns residual + x W^T + bias, [tokens, outputs]; leaves `residual` as it is."""
        if linear.weight.is_mkldnn:
            return onednn.linear_add(residual, x, linear.weight, linear.bias)
        out = torch.add(residual, linear.bias, out=self._output_buffer(projection, x, linear))
        return out.addmm_(x, self._weight(linear).T)

    def _output_buffer(self, projection: Projection, x: Tensor, linear: Linear) -> Tensor:
        """Returns the buffer that a projection writes to, [tokens, outputs]."""
        return self._workspace.buffer(projection.name, (x.shape[0], linear.weight.shape[0]), self.dtype)

    def _weight(self, linear: Linear) -> Tensor:
        if linear.weight.dtype == self.dtype:
            return linear.weight
        return self._workspace.buffer("weight", tuple(linear.weight.shape), self.dtype).copy_(linear.weight)


class LoraProducts(Protocol):
    """The LoRA products of one batch, computed after the base's products."""

    def add(self, layer: int, projection: Projection, x: Tensor, out: Tensor) -> None:
        """Adds scaling * B A x to each token of `out` [tokens, outputs]; leaves `x`, [tokens, inputs], as it is."""
        ...


class AdaptedProjections(Protocol):
    """The projections of one batch, with each token's adapter applied.

    The next call for the same projection may overwrite a result.
    """

    def project(self, layer: int, projection: Projection, x: Tensor, linear: Linear) -> Tensor:
        """Returns (W + scaling * B A) x + bias of each token, [tokens, outputs]; x: [tokens, inputs]."""
        ...

    def project_onto_residual(
        self, layer: int, projection: Projection, residual: Tensor, x: Tensor, linear: Linear
    ) -> Tensor:
        """Returns residual + (W + scaling * B A) x + bias, [tokens, outputs]; may overwrite `residual`."""
        ...


class BaseThenLora:
    """Implements AdaptedProjections: computes the base's product first, then adds LoRA's product."""

    def __init__(self, base: BaseProjections, lora: LoraProducts) -> None:
        self._base, self._lora = base, lora

    def project(self, layer: int, projection: Projection, x: Tensor, linear: Linear) -> Tensor:
        """Returns (W + scaling * B A) x + bias of each token, [tokens, outputs]; x: [tokens, inputs]."""
        out = self._base.project(projection, x, linear)
        self._lora.add(layer, projection, x, out)
        return out

    def project_onto_residual(
        self, layer: int, projection: Projection, residual: Tensor, x: Tensor, linear: Linear
    ) -> Tensor:
        """Returns residual + (W + scaling * B A) x + bias, [tokens, outputs]; leaves `residual` as it is."""
        out = self._base.project_onto_residual(projection, residual, x, linear)
        self._lora.add(layer, projection, x, out)
        return out
