"""Several adapters at once by products of few shapes, for oneDNN, which compiles a kernel for each shape.

The As of a few adapters stand side by side and multiply the tokens of all of them; of the result each token keeps what
its own adapter made. That is some products in vain, and a tenth of the calls.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lorb_adapters.encoder.lora_matrices import JOINED_SITES, Projection, Segments
from lorb_adapters.encoder.onednn import token_step_up
from lorb_adapters.encoder.weak_adapter_cache import WeakAdapterCache
from lorb_adapters.lora.weights import AdapterWeights

_MOST_TOGETHER = 4  # adapters in one product

# A [parts, rank, inputs] and scaling * B [parts, rank, outputs of a part] of one adapter at one join.
_Pair = tuple[Tensor, Tensor]


class PaddedAdapters:
    """Every adapter's matrices with missing sites zero, kept as long as the adapter is, and as large again."""

    def __init__(self, shapes: Sequence[tuple[int, int]], dtype: torch.dtype) -> None:
        """shapes: [layers * 4], the (inputs, outputs of a part) of every join, layer by layer."""
        self.shapes = shapes
        self._dtype = dtype
        self._kept: WeakAdapterCache[list[_Pair]] = WeakAdapterCache()

    def of(self, weights: AdapterWeights) -> list[_Pair]:
        """[layers * 4], of the adapter's own rank: one for every rank it meets would be kept for each of them."""
        return self._kept.of(weights, lambda: [self._pair(weights, i) for i in range(len(self.shapes))])

    def _pair(self, weights: AdapterWeights, number: int) -> _Pair:
        layer, join = divmod(number, len(Projection))
        rank = weights.config.rank
        inputs, outputs = self.shapes[number]
        sites = JOINED_SITES[Projection(join)]
        a = torch.zeros(len(sites), rank, inputs, dtype=self._dtype)
        b = torch.zeros(len(sites), rank, outputs, dtype=self._dtype)
        for part, site in enumerate(sites):
            pair = weights.lora.get(f"encoder.layer.{layer}.{site}")
            if pair is not None:
                a[part] = pair[0]
                b[part] = (pair[1].float() * weights.config.scaling).T
        return a, b


@dataclass(frozen=True, slots=True)
class _Group:
    """A few neighbouring adapters and a window of tokens with all of theirs in it.

    Attributes:
        tokens: the window, of a length that many passes share.
        others: [tokens, 1, adapters * rank], where a token's adapter is not that one; None where it always is.
        pairs: for each layer and join the A [parts * adapters * rank, inputs], B [parts, adapters * rank, outputs].
    """

    tokens: slice
    others: Tensor | None
    pairs: list[_Pair]


class ConcatenatedLora:
    """LoraBranches of a whole pass on the processor."""

    def __init__(self, segments: Segments, num_tokens: int, adapters: PaddedAdapters) -> None:
        """num_tokens: in all rows; the pass has `token_step_up` of it, and what those behind get is of no use."""
        adapted = [segment for segment in segments if segment[2].lora]
        self._groups = [_group(together, num_tokens, adapters) for together in _neighbours(adapted)]

    def add(self, layer: int, join: Projection, x: Tensor, out: Tensor) -> None:
        """As LoraBranches has it."""
        for group in self._groups:
            a, b = group.pairs[len(Projection) * layer + join]
            low_rank = torch.mm(x[group.tokens], a.T)
            if group.others is not None:
                # not a product with zeros: one adapter's NaN is not to become another's
                low_rank.view(len(low_rank), len(b), -1).masked_fill_(group.others, 0.0)
            parts = out[group.tokens].chunk(len(b), 1)
            for part, of_part, b_of_part in zip(parts, low_rank.chunk(len(b), 1), b, strict=True):
                part.addmm_(of_part, b_of_part)


def _neighbours(segments: Segments) -> Iterator[Segments]:
    for first in range(0, len(segments), _MOST_TOGETHER):
        yield segments[first : first + _MOST_TOGETHER]


def _group(segments: Segments, num_tokens: int, adapters: PaddedAdapters) -> _Group:
    start, stop = segments[0][0], segments[-1][1]
    length = token_step_up(stop - start)
    first = min(start, token_step_up(num_tokens) - length)
    rank = max(weights.config.rank for _, _, weights in segments)
    places = 1 << (len(segments) - 1).bit_length()  # three adapters have the shapes of four
    own = [adapters.of(weights) for _, _, weights in segments]
    pairs = [_side_by_side([pairs[i] for pairs in own], rank, places) for i in range(len(adapters.shapes))]
    others = torch.ones(length, 1, places * rank, dtype=torch.bool)
    for place, (begin, end, _) in enumerate(segments):
        others[begin - first : end - first, :, place * rank : (place + 1) * rank] = False
    mixed = bool(others[: num_tokens - first].any())
    return _Group(slice(first, first + length), others if mixed else None, pairs)


def _side_by_side(pairs: Sequence[_Pair], rank: int, places: int) -> _Pair:
    """A [parts * places * rank, inputs] and B [parts, places * rank, outputs]; places without an adapter are zero."""
    if places == 1:
        [(a, b)] = pairs
        return a.flatten(0, 1), b
    padded = [(_padded(a, rank), _padded(b, rank)) for a, b in pairs]
    empty = [torch.zeros_like(tensor) for tensor in padded[0]] if places > len(pairs) else []
    a, b = (
        torch.stack([pair[i] for pair in padded] + [empty[i] for _ in range(places - len(pairs))], dim=1)
        for i in range(2)
    )
    return a.flatten(0, 2), b.flatten(1, 2)


def _padded(matrices: Tensor, rank: int) -> Tensor:
    """[parts, rank, size], zero beyond the rank that is there."""
    missing = rank - matrices.shape[1]
    return functional.pad(matrices, (0, 0, 0, missing)) if missing else matrices
