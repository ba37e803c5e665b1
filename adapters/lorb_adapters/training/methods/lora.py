"""LoRA: low-rank matrices added to frozen linear layers (Hu et al. 2021). Only this method makes an adapter."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lorb_adapters.base.loader import Base
from lorb_adapters.encoder.projections import Linear, Projection, lora_matrices, projection_number
from lorb_adapters.lora.head import HeadWeights
from lorb_adapters.lora.weights import AdapterWeights, adapted_modules, initial_weights
from lorb_adapters.model import RescoringModel
from lorb_adapters.text import EncodedHypothesis
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.data.encoded_lists import EncodedList
from lorb_adapters.training.encoder.dropout import Dropout
from lorb_adapters.training.encoder.forward import LayerHooks
from lorb_adapters.training.encoder.linear import product
from lorb_adapters.training.methods.method import Method, Tensors, head_of
from lorb_adapters.training.methods.scoring import score_in_passes


class Lora(Method):
    """Trains A and B of every linear module that the configuration adapts. Scores lists with the server's model."""

    name = "lora"

    def __init__(self, base: Base, config: TrainConfig) -> None:
        self.model = RescoringModel(base)
        self._models = [self.model]  # one for each thread
        self._paths = tuple(adapted_modules(base.encoder, config.lora))
        super().__init__(base, config)

    def weights(self, tensors: Tensors) -> AdapterWeights:
        """Returns trained parameters as an adapter."""
        lora = {path: (tensors[f"{path}.A"], tensors[f"{path}.B"]) for path in self._paths}
        return AdapterWeights(self.config.lora, lora, head_of(tensors, self.config.head))

    def scores(self, tensors: Tensors, lists: Sequence[EncodedList]) -> list[list[float]]:
        """Returns the rescoring scores of each list's distinct hypotheses with `tensors`, as the server computes them.

        The adapter's golden lists are published with these scores, and a server must reproduce them.
        """
        adapter = self.weights(tensors)
        while len(self._models) < self.threads.count:
            self._models.append(self.model.for_another_thread())

        def score(rows: Sequence[EncodedHypothesis]) -> Tensor:
            parts = zip(self._models, self.threads.split(rows), strict=False)
            return torch.cat(
                self.threads.map(lambda part: part[0].score(part[1], [adapter], [0] * len(part[1])), parts)
            )

        return list(score_in_passes(score, lists))

    def _initial_tensors(self, generator: torch.Generator) -> Tensors:
        head = HeadWeights.zeros(self.config.head, self.base.hidden_size)
        initial = initial_weights(self.base.encoder, self.config.lora, head, generator)
        initial = initial.to(self.base.device, torch.float32)
        return {
            f"{path}.{name}": matrix
            for path, pair in initial.lora.items()
            for name, matrix in zip(("A", "B"), pair, strict=True)
        }

    def _hooks(self, dropout: Dropout | None) -> LayerHooks:
        return _LoraHooks(self.weights(self.tensors), dropout)


class _LoraHooks(LayerHooks):
    """Adds scaling * B A x to each projection. Query, key and value of a layer share x and its dropout mask."""

    def __init__(self, weights: AdapterWeights, dropout: Dropout | None) -> None:
        self._weights, self._dropout = weights, dropout

    def project(self, layer: int, projection: Projection, x: Tensor, linear: Linear) -> Tensor:
        """Returns x W^T + bias + scaling * B A dropout(x), [tokens, outputs]; x: [tokens, inputs]."""
        adapted = lora_matrices(self._weights, projection_number(layer, projection))
        if not adapted:
            return super().project(layer, projection, x, linear)
        a = torch.cat([a for _, a, _ in adapted]).to(x.dtype)  # [modules * rank, inputs]
        b = torch.stack([b for _, _, b in adapted]).to(x.dtype)  # [modules, outputs of a module, rank]
        mask = None if self._dropout is None else self._dropout.mask(x)
        parts = tuple(part for part, _, _ in adapted)
        scaling = self._weights.config.scaling
        out: Tensor = _LoraProduct.apply(x, linear.weight, linear.bias, a, b, parts, scaling, mask)  # type: ignore[no-untyped-call]
        return out


class _LoraProduct(torch.autograd.Function):
    """y = x W^T + bias, with scaling ((m * x) A_i^T) B_i^T added to the outputs of each adapted module i.

    m: dropout mask, multiplied elementwise. Query, key and value are modules of one projection.
    x, A and B get gradients. Autograd's own operators would allocate a temporary as large as x for each scaling and
    each sum.
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
        masked_x = x if mask is None else x * mask
        # Products with few columns are up to ten times slower than the same products with few rows, so low-rank
        # matrices are transposed.
        low_rank = a @ masked_x.T  # [modules * rank, tokens]
        ctx.save_for_backward(masked_x, weight, a, b, low_rank, mask)
        ctx.parts, ctx.scaling = parts, scaling
        out = product(x, weight, bias)
        for i, (outputs, ranks) in enumerate(_slices(b, parts)):
            out[:, outputs].addmm_(low_rank[ranks].T, b[i].T, alpha=scaling)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        masked_x, weight, a, b, low_rank, mask = ctx.saved_tensors
        grad_low_rank, grad_b = (
            torch.empty_like(low_rank),
            torch.empty_like(b.mT, memory_format=torch.contiguous_format),
        )
        for i, (outputs, ranks) in enumerate(_slices(b, ctx.parts)):
            torch.mm(b[i].T, grad[:, outputs].T, out=grad_low_rank[ranks])
            torch.mm(low_rank[ranks], grad[:, outputs], out=grad_b[i])
        grad_low_rank *= ctx.scaling
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = product(grad, weight.T)
            if mask is None:
                grad_x.addmm_(grad_low_rank.T, a)
            else:
                grad_x.addcmul_(grad_low_rank.T @ a, mask)
        return grad_x, None, None, grad_low_rank @ masked_x, grad_b.mT * ctx.scaling, None, None, None


def _slices(b: Tensor, parts: tuple[int, ...]) -> list[tuple[slice, slice]]:
    """Returns each adapted module's slice of the outputs, and its slice of the low-rank columns.

    b: matrices B, [modules, outputs of a module, rank]. parts: each module's place among the projection's equal parts.
    """
    _, size, rank = b.shape
    return [(slice(part * size, (part + 1) * size), slice(i * rank, (i + 1) * rank)) for i, part in enumerate(parts)]
