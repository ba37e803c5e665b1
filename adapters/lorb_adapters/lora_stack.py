"""An adapter's matrices as a pass over BERT layers multiplies with them."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from lorb_adapters.lora import AdapterWeights
from lorb_adapters.scratch import Scratch

Segments = Sequence[tuple[int, int, AdapterWeights]]


class Join(enum.IntEnum):
    """Where adapters join a layer: its four products, in order, query, key and value being one."""

    QKV, ATTENTION_OUT, UP, DOWN = range(4)


JOINED_SITES = {
    Join.QKV: ("attention.self.query", "attention.self.key", "attention.self.value"),
    Join.ATTENTION_OUT: ("attention.output.dense",),
    Join.UP: ("intermediate.dense",),
    Join.DOWN: ("output.dense",),
}


class LoraBranches(Protocol):
    """What the adapters of one pass add to the base's products."""

    def add(self, layer: int, join: Join, x: Tensor, out: Tensor) -> None:
        """Adds scaling * B A x to each token of `out` [tokens, outputs]; x: [tokens, inputs], not changed."""
        ...


@dataclass(frozen=True, slots=True)
class Branch:
    """An adapter at one product.

    Attributes:
        a: [inputs, sites * rank], the A of its sites side by side.
        b: [sites, rank, outputs of a site].
        sites: which of the product's equal parts of outputs they are.
        num_parts: how many parts the product has.
    """

    a: Tensor
    b: Tensor
    sites: slice
    num_parts: int

    def add(self, low_rank: Tensor, out: Tensor, scaling: float) -> None:
        """Adds scaling * low_rank b to `out`, [tokens, outputs]; low_rank: x a, [tokens, sites * rank]."""
        if self.num_parts == 1:
            out.addmm_(low_rank, self.b[0], alpha=scaling)
            return
        tokens, (sites, rank, outputs) = out.shape[0], self.b.shape
        parts = out.view(tokens, self.num_parts, outputs)[:, self.sites]
        parts.transpose(0, 1).baddbmm_(low_rank.view(tokens, sites, rank).transpose(0, 1), self.b, alpha=scaling)


class LoraStacks:
    """Branches by adapter, kept as long as the adapter is. Fused queries, keys and values are copies, a third of it."""

    def __init__(self, num_layers: int, dtype: torch.dtype) -> None:
        self._prefixes = [f"encoder.layer.{n}." for n in range(num_layers)]
        self._dtype = dtype
        self._kept: WeakKeyDictionary[AdapterWeights, list[Branch | None]] = WeakKeyDictionary()

    def of(self, weights: AdapterWeights) -> list[Branch | None]:
        """[layers * 4], None where the adapter has no site."""
        branches = self._kept.get(weights)
        if branches is None:
            branches = [self._branch(weights, prefix, join) for prefix in self._prefixes for join in Join]
            if not any(tensor.requires_grad for tensor in weights.tensors()):  # a trainer writes into them
                self._kept[weights] = branches
        return branches

    def _branch(self, weights: AdapterWeights, prefix: str, join: Join) -> Branch | None:
        paths = [prefix + site for site in JOINED_SITES[join]]
        sites = [i for i, path in enumerate(paths) if path in weights.lora]
        if not sites:
            return None
        pairs = [weights.lora[paths[i]] for i in sites]
        fused = len(pairs) > 1
        a = torch.cat([a for a, _ in pairs]) if fused else pairs[0][0]
        b = torch.stack([b.T for _, b in pairs]) if fused else pairs[0][1].T[None]
        step = sites[-1] - sites[0] if len(sites) == 2 else 1  # query and value alone: every second part
        return Branch(a.to(self._dtype).T, b.to(self._dtype), slice(sites[0], sites[-1] + 1, step), len(paths))


class SegmentLora:
    """Two small products for each segment of tokens and each site."""

    def __init__(self, segments: Segments, stacks: LoraStacks, scratch: Scratch) -> None:
        self._segments = [
            (slice(start, stop), stacks.of(weights), weights.config.scaling)
            for start, stop, weights in segments
            if weights.lora
        ]
        self._scratch = scratch

    def add(self, layer: int, join: Join, x: Tensor, out: Tensor) -> None:
        """As LoraBranches has it."""
        for tokens, branches, scaling in self._segments:
            branch = branches[len(Join) * layer + join]
            if branch is None:
                continue
            low_rank = self._scratch.take("low rank", (tokens.stop - tokens.start, branch.a.shape[1]), x.dtype)
            torch.mm(x[tokens], branch.a, out=low_rank)
            branch.add(low_rank, out[tokens], scaling)
