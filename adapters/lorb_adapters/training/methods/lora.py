"""Low-rank matrices beside the frozen linear layers (Hu et al. 2021): the one method that makes an adapter."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lorb_adapters.base.loader import Base
from lorb_adapters.encoder.bert_layer import Linear
from lorb_adapters.encoder.lora_matrices import JOINED_SITES, Projection
from lorb_adapters.lora.head import HeadWeights
from lorb_adapters.lora.sites import adapted_sites, fresh_weights
from lorb_adapters.lora.weights import AdapterWeights
from lorb_adapters.model import RescoringModel
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.data.encoded_lists import ReferencedList, score_lists
from lorb_adapters.training.encoder.dropout import Dropout
from lorb_adapters.training.encoder.forward import LayerHooks
from lorb_adapters.training.methods.method import Method, Tensors, head_of


class Lora(Method):
    """A and B at every site of the configuration. Dev and the golden lists are scored as the server scores."""

    name = "lora"

    def __init__(self, base: Base, config: TrainConfig) -> None:
        self.model = RescoringModel(base)
        self._sites = adapted_sites(base.encoder, config.lora)
        super().__init__(base, config)

    def weights(self, tensors: Tensors) -> AdapterWeights:
        """Trained values as an adapter."""
        lora = {site: (tensors[f"{site}.A"], tensors[f"{site}.B"]) for site in self._sites}
        return AdapterWeights(self.config.lora, lora, head_of(tensors, self.config.head))

    def scores(self, tensors: Tensors, lists: Sequence[ReferencedList]) -> list[list[float]]:
        """As Method has it, by the passes of the server."""
        return list(score_lists(self.model, self.weights(tensors), lists))

    def _fresh_tensors(self, generator: torch.Generator) -> Tensors:
        head = HeadWeights.zeros(self.config.head, self.base.hidden_size)
        fresh = fresh_weights(self.base.encoder, self.config.lora, head, generator).to(self.base.device, torch.float32)
        return {
            f"{site}.{name}": matrix
            for site, pair in fresh.lora.items()
            for name, matrix in zip(("A", "B"), pair, strict=True)
        }

    def _additions(self, dropout: Dropout | None) -> LayerHooks:
        return _LoraAdditions(self.weights(self.tensors), dropout)


class _LoraAdditions(LayerHooks):
    """B A x beside each product; query, key and value of a layer, which read the same x, share a draw of dropout."""

    def __init__(self, weights: AdapterWeights, dropout: Dropout | None) -> None:
        self._lora: Mapping[str, tuple[Tensor, Tensor]] = weights.lora
        self._scaling = weights.config.scaling
        self._dropout = dropout

    def product(self, layer: int, join: Projection, x: Tensor, linear: Linear) -> Tensor:
        """As Additions has it, plus scaling * B A dropout(x)."""
        sites = [(part, f"encoder.layer.{layer}.{site}") for part, site in enumerate(JOINED_SITES[join])]
        parts = [(part, *self._lora[path]) for part, path in sites if path in self._lora]
        if not parts:
            return functional.linear(x, linear.weight, linear.bias)
        a = torch.cat([a for _, a, _ in parts]).to(x.dtype)  # [sites * rank, in]
        b = torch.stack([b for _, _, b in parts]).to(x.dtype)  # [sites, out of a part, rank]
        mask = None if self._dropout is None else self._dropout.mask(x)
        which = tuple(part for part, _, _ in parts)
        out: Tensor = _LoraProduct.apply(x, linear.weight, linear.bias, a, b, which, self._scaling, mask)  # type: ignore[no-untyped-call]
        return out


class _LoraProduct(torch.autograd.Function):
    """y = x W^T + bias, with scaling (m x A_i^T) B_i^T added to some equal parts of y; gradients to x, A and B alone.

    Autograd's own operators would compute the same with a temporary of x's size for each scaling and each sum.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch has no public type for it
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        a: Tensor,
        b: Tensor,
        parts: tuple[int, ...],
        scaling: float,
        mask: Tensor | None,
    ) -> Tensor:
        read = x if mask is None else x * mask
        low_rank = read @ a.T  # [tokens, sites * rank]
        ctx.save_for_backward(read, weight, a, b, low_rank, mask)
        ctx.parts, ctx.scaling = parts, scaling
        out = functional.linear(x, weight, bias)
        for site, (outputs, ranks) in enumerate(_slices(b, parts)):
            out[:, outputs].addmm_(low_rank[:, ranks], b[site].T, alpha=scaling)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        read, weight, a, b, low_rank, mask = ctx.saved_tensors
        grad_low_rank, grad_b = torch.empty_like(low_rank), torch.empty_like(b)
        for site, (outputs, ranks) in enumerate(_slices(b, ctx.parts)):
            torch.mm(grad[:, outputs], b[site], out=grad_low_rank[:, ranks])
            torch.mm(grad[:, outputs].T, low_rank[:, ranks], out=grad_b[site])
        grad_low_rank *= ctx.scaling
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = grad @ weight
            if mask is None:
                grad_x.addmm_(grad_low_rank, a)
            else:
                grad_x.addcmul_(grad_low_rank @ a, mask)
        return grad_x, None, None, grad_low_rank.T @ read, grad_b * ctx.scaling, None, None, None


def _slices(b: Tensor, parts: tuple[int, ...]) -> list[tuple[slice, slice]]:
    """For each site the outputs it adds to, and its share of the low-rank columns. b: [sites, outputs, rank]."""
    _, size, rank = b.shape
    return [
        (slice(part * size, (part + 1) * size), slice(site * rank, (site + 1) * rank))
        for site, part in enumerate(parts)
    ]
