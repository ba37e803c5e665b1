"""Adapters first, the base onto them: the way of products that join no bias, as fp32 ones on a processor."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lorb_adapters.encoder.base_products import BaseProducts
from lorb_adapters.encoder.bert_layer import BertLayer, Linear
from lorb_adapters.encoder.lora_matrices import JOINED_SITES, Projection, Segments, covering
from lorb_adapters.encoder.weak_adapter_cache import WeakAdapterCache
from lorb_adapters.encoder.workspace import Workspace
from lorb_adapters.lora.weights import AdapterWeights


@dataclass(frozen=True, slots=True)
class LoraWithBias:
    """An adapter at one product, with the product's bias as one more rank.

    Attributes:
        a: [sites * (rank + 1), inputs], the A of each site with a row of zeros below it.
        ones: [sites * (rank + 1)], 1 in the places of those rows: added to A x they are what the bias is multiplied by.
        b: for each site [rank + 1, outputs of a part], scaling * B^T with the bias below it.
        sites: which of the product's equal parts of outputs they are.
    """

    a: Tensor
    ones: Tensor
    b: tuple[Tensor, ...]
    sites: tuple[int, ...]


class LorasWithBias:
    """Branches by adapter, kept as long as the adapter is, and as large again."""

    def __init__(self, layers: Sequence[BertLayer], dtype: torch.dtype) -> None:
        self._linears = [linear for layer in layers for linear in layer.linears]
        self._dtype = dtype
        self._kept: WeakAdapterCache[list[LoraWithBias | None]] = WeakAdapterCache()

    def of(self, weights: AdapterWeights) -> list[LoraWithBias | None]:
        """[layers * 4], None where the adapter has no site."""
        return self._kept.of(weights, lambda: [self._branch(weights, number) for number in range(len(self._linears))])

    def _branch(self, weights: AdapterWeights, number: int) -> LoraWithBias | None:
        layer, join = divmod(number, len(Projection))
        paths = [f"encoder.layer.{layer}.{site}" for site in JOINED_SITES[Projection(join)]]
        sites = tuple(i for i, path in enumerate(paths) if path in weights.lora)
        if not sites:
            return None
        biases = self._linears[number].bias.chunk(len(paths))
        pairs = [weights.lora[paths[site]] for site in sites]
        zeros = pairs[0][0].new_zeros(1, pairs[0][0].shape[1])
        ones = zeros.new_zeros(len(sites), weights.config.rank + 1)
        ones[:, -1] = 1.0
        scaling = weights.config.scaling
        return LoraWithBias(
            a=torch.cat([row for a, _ in pairs for row in (a, zeros)]).to(self._dtype),
            ones=ones.flatten().to(self._dtype),
            b=tuple(
                torch.cat([scaling * b.T.to(self._dtype), biases[site][None].to(self._dtype)])
                for site, (_, b) in zip(sites, pairs, strict=True)
            ),
            sites=sites,
        )


class LoraFirst:
    """Bias and adapter come in one small product, which the base's is added to.

    So neither the bias nor the residual takes a pass over memory of its own.
    """

    def __init__(
        self, base: BaseProducts, segments: Segments, num_tokens: int, branches: LorasWithBias, scratch: Workspace
    ) -> None:
        """num_tokens: of the whole pass; tokens outside `segments` have the base alone."""
        self._base, self._scratch = base, scratch
        self._segments = [
            (slice(start, stop), None if weights is None else branches.of(weights))
            for start, stop, weights in covering(segments, num_tokens)
        ]

    def plain(self, layer: int, join: Projection, x: Tensor, linear: Linear) -> Tensor:
        """As AdaptedProducts has it."""
        out = self._base.buffer(join.name, x, linear)
        for tokens, branches in self._segments:
            branch = None if branches is None else branches[len(Projection) * layer + join]
            rows = out[tokens]
            if branch is None:
                rows.copy_(linear.bias)
                continue
            parts = rows.chunk(len(JOINED_SITES[join]), 1)
            for site, low_rank, b in self._low_rank(branch, x[tokens]):
                torch.mm(low_rank, b, out=parts[site])
            for site in set(range(len(parts))) - set(branch.sites):
                parts[site].copy_(linear.bias.chunk(len(parts))[site])
        return self._base.onto(out, x, linear)

    def onto_residual(self, layer: int, join: Projection, residual: Tensor, x: Tensor, linear: Linear) -> Tensor:
        """As AdaptedProducts has it; overwrites `residual`."""
        for tokens, branches in self._segments:
            branch = None if branches is None else branches[len(Projection) * layer + join]
            if branch is None:
                residual[tokens].add_(linear.bias)
                continue
            for _, low_rank, b in self._low_rank(branch, x[tokens]):  # both such joins have one site
                residual[tokens].addmm_(low_rank, b)
        return self._base.onto(residual, x, linear)

    def _low_rank(self, branch: LoraWithBias, x: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
        """For each site its part, (A x, 1) [tokens, rank + 1], and B with the bias."""
        low_rank = self._scratch.take("low rank", (x.shape[0], branch.a.shape[0]), x.dtype)
        torch.addmm(branch.ones, x, branch.a.T, out=low_rank)
        return zip(branch.sites, low_rank.chunk(len(branch.b), 1), branch.b, strict=True)
