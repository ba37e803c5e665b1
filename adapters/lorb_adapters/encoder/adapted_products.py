"""A layer's four products with each token's adapter applied."""

from typing import Protocol

from torch import Tensor

from lorb_adapters.encoder.base_products import BaseProducts
from lorb_adapters.encoder.bert_layer import Linear
from lorb_adapters.encoder.lora_matrices import LoraBranches, Projection


class AdaptedProducts(Protocol):
    """The products of one pass. A result may be overwritten by the next product at the same join."""

    def plain(self, layer: int, join: Projection, x: Tensor, linear: Linear) -> Tensor:
        """(W + scaling * B A) x + bias of each token, [tokens, out]; x: [tokens, in]."""
        ...

    def onto_residual(self, layer: int, join: Projection, residual: Tensor, x: Tensor, linear: Linear) -> Tensor:
        """The same, with residual [tokens, out] added, which it may overwrite."""
        ...


class BaseFirst:
    """The base's product, bias and residual joined to it by the device's library; then the adapters'."""

    def __init__(self, base: BaseProducts, lora: LoraBranches) -> None:
        self._base, self._lora = base, lora

    def plain(self, layer: int, join: Projection, x: Tensor, linear: Linear) -> Tensor:
        """As AdaptedProducts has it."""
        out = self._base.plain(join.name, x, linear)
        self._lora.add(layer, join, x, out)
        return out

    def onto_residual(self, layer: int, join: Projection, residual: Tensor, x: Tensor, linear: Linear) -> Tensor:
        """As AdaptedProducts has it."""
        out = self._base.onto_residual(join.name, residual, x, linear)
        self._lora.add(layer, join, x, out)
        return out
