"""LoRA on a CPU in fp32: writes bias + LoRA into the output, then accumulates the base's x W^T onto it.

No fp32 product on a CPU adds the bias or the residual in the same pass. In this order, neither of them costs an extra
read and write of the output.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lorb_adapters.encoder.bert_layer import BertLayer
from lorb_adapters.encoder.memory import WeakAdapterCache, Workspace
from lorb_adapters.encoder.projections import (
    PROJECTION_MODULES,
    BaseProjections,
    Linear,
    Projection,
    lora_matrices,
    num_modules,
    projection_number,
)
from lorb_adapters.encoder.segments import Segments, fill_gaps
from lorb_adapters.lora.weights import AdapterWeights


@dataclass(frozen=True, slots=True)
class LoraWithBias:
    """An adapter's matrices at one projection, with the projection's bias as one more rank.

    Attributes:
        a: [adapted modules * (rank + 1), inputs], the A of each adapted module with a row of zeros below it.
        ones: [adapted modules * (rank + 1)], 1 at these rows of zeros and 0 elsewhere. So A x + ones is 1 at these
            rows, and the product with `b` multiplies the bias by this 1.
        b: for each adapted module [rank + 1, outputs of a module], scaling * B^T with the bias as a row below it.
        modules: the position of each adapted module in the projection's list of modules.
    """

    a: Tensor
    ones: Tensor
    b: tuple[Tensor, ...]
    modules: tuple[int, ...]


class LoraWithBiasMatrices:
    """Caches each adapter's LoraWithBias at every projection until the adapter is freed."""

    def __init__(self, layers: Sequence[BertLayer], dtype: torch.dtype) -> None:
        self._linears = [linear for layer in layers for linear in layer.linears]
        self._dtype = dtype
        self._cache: WeakAdapterCache[list[LoraWithBias | None]] = WeakAdapterCache()

    def get(self, weights: AdapterWeights) -> list[LoraWithBias | None]:
        """Returns the adapter's matrices at each of the layers * 4 projections; None where it adapts no module."""
        return self._cache.get_or_build(
            weights, lambda: [self._build(weights, number) for number in range(len(self._linears))]
        )

    def size_bytes(self, weights: AdapterWeights) -> int:
        """Memory of an adapter's matrices, in bytes: those of the adapter, with one more rank for the bias."""
        per_rank = sum(a.shape[1] + b.shape[0] + 1 for a, b in weights.lora.values())
        return (weights.config.rank + 1) * per_rank * self._dtype.itemsize

    def _build(self, weights: AdapterWeights, number: int) -> LoraWithBias | None:
        adapted = lora_matrices(weights, number)
        if not adapted:
            return None
        biases = self._linears[number].bias.chunk(num_modules(number))
        zeros = torch.zeros_like(adapted[0][1][:1])
        ones = zeros.new_zeros(len(adapted), weights.config.rank + 1)
        ones[:, -1] = 1.0
        scaling = weights.config.scaling
        return LoraWithBias(
            a=torch.cat([matrix for _, a, _ in adapted for matrix in (a, zeros)]).to(self._dtype),
            ones=ones.flatten().to(self._dtype),
            b=tuple(
                torch.cat([scaling * b.T.to(self._dtype), biases[module][None].to(self._dtype)])
                for module, _, b in adapted
            ),
            modules=tuple(module for module, _, _ in adapted),
        )


class LoraThenBase:
    """Implements projections.AdaptedProjections: writes LoRA and bias by one product, then adds the base's product."""

    def __init__(
        self,
        base: BaseProjections,
        segments: Segments,
        num_tokens: int,
        matrices: LoraWithBiasMatrices,
        workspace: Workspace,
    ) -> None:
        """num_tokens: the tokens of the whole batch; tokens outside `segments` use the base alone."""
        self._base, self._workspace = base, workspace
        self._segments = [
            (slice(start, end), None if weights is None else matrices.get(weights))
            for start, end, weights in fill_gaps(segments, num_tokens)
        ]

    def project(self, layer: int, projection: Projection, x: Tensor, linear: Linear) -> Tensor:
        """Returns (W + scaling * B A) x + bias of each token, [tokens, outputs]; x: [tokens, inputs]."""
        out = self._base.output_buffer(projection, x, linear)
        for tokens, matrices in self._at(layer, projection):
            rows = out[tokens]
            if matrices is None:
                rows.copy_(linear.bias)
                continue
            outputs = rows.chunk(len(PROJECTION_MODULES[projection]), 1)
            for module, low_rank, b in self._low_rank(matrices, x[tokens]):
                torch.mm(low_rank, b, out=outputs[module])
            for module in set(range(len(outputs))) - set(matrices.modules):
                outputs[module].copy_(linear.bias.chunk(len(outputs))[module])
        return self._base.accumulate(out, x, linear)

    def project_onto_residual(
        self, layer: int, projection: Projection, residual: Tensor, x: Tensor, linear: Linear
    ) -> Tensor:
        """Returns residual + (W + scaling * B A) x + bias, [tokens, outputs]; overwrites `residual`.

        projection: ATTENTION_OUT or DOWN.
        """
        for tokens, matrices in self._at(layer, projection):
            if matrices is None:
                residual[tokens].add_(linear.bias)
                continue
            for _, low_rank, b in self._low_rank(matrices, x[tokens]):
                residual[tokens].addmm_(low_rank, b)
        return self._base.accumulate(residual, x, linear)

    def _at(self, layer: int, projection: Projection) -> Iterator[tuple[slice, LoraWithBias | None]]:
        """Yields each segment's tokens and its matrices at a projection, or None for the base alone."""
        number = projection_number(layer, projection)
        for tokens, adapter in self._segments:
            yield tokens, None if adapter is None else adapter[number]

    def _low_rank(self, matrices: LoraWithBias, x: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Yields for each adapted module: its position; A x followed by 1, [tokens, rank + 1]; and its `b`."""
        low_rank = self._workspace.buffer("low rank", (x.shape[0], matrices.a.shape[0]), x.dtype)
        torch.addmm(matrices.ones, x, matrices.a.T, out=low_rank)
        return zip(matrices.modules, low_rank.chunk(len(matrices.b), 1), matrices.b, strict=True)
