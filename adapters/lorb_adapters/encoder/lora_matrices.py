"""An adapter's matrices as a pass over BERT layers multiplies with them."""

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lorb_adapters.encoder.weak_adapter_cache import WeakAdapterCache
from lorb_adapters.encoder.workspace import Workspace
from lorb_adapters.lora.weights import AdapterWeights

Segments = Sequence[tuple[int, int, AdapterWeights]]


class Projection(enum.IntEnum):
    """Where adapters join a layer: its four products, in order, query, key and value being one."""

    QKV, ATTENTION_OUT, UP, DOWN = range(4)


JOINED_SITES = {
    Projection.QKV: ("attention.self.query", "attention.self.key", "attention.self.value"),
    Projection.ATTENTION_OUT: ("attention.output.dense",),
    Projection.UP: ("intermediate.dense",),
    Projection.DOWN: ("output.dense",),
}


def covering(segments: Segments, num_tokens: int) -> Iterator[tuple[int, int, AdapterWeights | None]]:
    """The segments with the gaps before, between and behind them; None where the base is alone."""
    at = 0
    for start, stop, weights in segments:
        if start > at:
            yield at, start, None
        yield start, stop, weights if weights.lora else None
        at = stop
    if at < num_tokens:
        yield at, num_tokens, None


class LoraBranches(Protocol):
    """What the adapters of one pass add to the base's products."""

    def add(self, layer: int, join: Projection, x: Tensor, out: Tensor) -> None:
        """Adds scaling * B A x to each token of `out` [tokens, outputs]; x: [tokens, inputs], not changed."""
        ...


@dataclass(frozen=True, slots=True)
class Branch:
    """An adapter at one product.

    Attributes:
        a: [inputs, sites * rank], the A of its sites side by side.
        b: for each site [rank, outputs of a site].
        sites: which of the product's equal parts of outputs they are.
        num_parts: how many parts the product has.
    """

    a: Tensor
    b: tuple[Tensor, ...]
    sites: tuple[int, ...]
    num_parts: int

    def add(self, low_rank: Tensor, out: Tensor, scaling: float) -> None:
        """Adds scaling * low_rank b to `out`, [tokens, outputs]; low_rank: x a, [tokens, sites * rank].

        One product a site: a batched one would copy the parts of `out`, which lie apart, there and back.
        """
        parts = out.chunk(self.num_parts, 1)
        for site, of_site, b in zip(self.sites, low_rank.chunk(len(self.b), 1), self.b, strict=True):
            parts[site].addmm_(of_site, b, alpha=scaling)


class LoraStacks:
    """Branches by adapter, kept as long as the adapter is. The joined A of query, key and value are copies."""

    def __init__(self, num_layers: int, dtype: torch.dtype) -> None:
        self._prefixes = [f"encoder.layer.{n}." for n in range(num_layers)]
        self._dtype = dtype
        self._kept: WeakAdapterCache[list[Branch | None]] = WeakAdapterCache()

    def of(self, weights: AdapterWeights) -> list[Branch | None]:
        """[layers * 4], None where the adapter has no site."""
        return self._kept.of(
            weights, lambda: [self._branch(weights, prefix, join) for prefix in self._prefixes for join in Projection]
        )

    def _branch(self, weights: AdapterWeights, prefix: str, join: Projection) -> Branch | None:
        paths = [prefix + site for site in JOINED_SITES[join]]
        sites = tuple(i for i, path in enumerate(paths) if path in weights.lora)
        if not sites:
            return None
        pairs = [weights.lora[paths[i]] for i in sites]
        a = torch.cat([a for a, _ in pairs]) if len(pairs) > 1 else pairs[0][0]
        b = tuple(b.to(self._dtype).T for _, b in pairs)
        return Branch(a.to(self._dtype).T, b, sites, len(paths))


class SegmentLora:
    """Two small products for each segment of tokens and each site."""

    def __init__(self, segments: Segments, stacks: LoraStacks, scratch: Workspace) -> None:
        self._segments = [
            (slice(start, stop), stacks.of(weights), weights.config.scaling)
            for start, stop, weights in segments
            if weights.lora
        ]
        self._scratch = scratch

    def add(self, layer: int, join: Projection, x: Tensor, out: Tensor) -> None:
        """As LoraBranches has it."""
        for tokens, branches, scaling in self._segments:
            branch = branches[len(Projection) * layer + join]
            if branch is None:
                continue
            low_rank = self._scratch.take("low rank", (tokens.stop - tokens.start, branch.a.shape[1]), x.dtype)
            torch.mm(x[tokens], branch.a, out=low_rank)
            branch.add(low_rank, out[tokens], scaling)
