"""LoRA on a CPU in bf16: concatenates up to four adapters in one product, so that products have few shapes.

oneDNN compiles a kernel for each new shape. Here one product multiplies the tokens of four adapters by the A of all
four. Of the result, each token keeps only the columns of its own adapter. The work on the other columns is wasted, but
far fewer products are needed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lorb_adapters.encoder.memory import WeakAdapterCache
from lorb_adapters.encoder.onednn import padded_length
from lorb_adapters.encoder.projections import Projection, lora_matrices, num_modules, projection_number
from lorb_adapters.encoder.segments import Segments
from lorb_adapters.lora.weights import AdapterWeights

_MAX_ADAPTERS = 4  # in one product

# A [modules, rank, inputs] and scaling * B^T [modules, rank, outputs of a module] of one adapter at one projection.
_Pair = tuple[Tensor, Tensor]


class ZeroFilledMatrices:
    """Caches each adapter's matrices, zero where a module is not adapted, until the adapter is freed."""

    def __init__(self, shapes: Sequence[tuple[int, int]], dtype: torch.dtype) -> None:
        """shapes: a pair (inputs, outputs) for each of the four projections of every layer, layer by layer.

        A fused projection counts the outputs of one of its modules.
        """
        self.shapes = shapes
        self._dtype = dtype
        self._cache: WeakAdapterCache[list[_Pair]] = WeakAdapterCache()

    def get(self, weights: AdapterWeights) -> list[_Pair]:
        """Returns the adapter's matrices at each of the layers * 4 projections.

        They have the adapter's own rank, so that one cached copy serves batches of any rank.
        """
        return self._cache.get_or_build(
            weights, lambda: [self._build(weights, number) for number in range(len(self.shapes))]
        )

    def size_bytes(self, weights: AdapterWeights) -> int:
        """Memory of an adapter's matrices, in bytes."""
        per_rank = sum(num_modules(number) * sum(sizes) for number, sizes in enumerate(self.shapes))
        return weights.config.rank * per_rank * self._dtype.itemsize

    def _build(self, weights: AdapterWeights, number: int) -> _Pair:
        a, b = (
            torch.zeros(num_modules(number), weights.config.rank, size, dtype=self._dtype)
            for size in self.shapes[number]
        )
        for module, lora_a, lora_b in lora_matrices(weights, number):
            a[module] = lora_a
            b[module] = (lora_b.float() * weights.config.scaling).T
        return a, b


@dataclass(frozen=True, slots=True)
class _Group:
    """Up to four neighbouring adapters, and a window of tokens that contains theirs.

    Attributes:
        tokens: the window, padded to a length that many batches share.
        foreign: whether a column belongs to another adapter than the token's, [tokens, 1, adapters * rank]; None if
            this is false for all columns of the batch's tokens.
        pairs: for each projection, A [modules * adapters * rank, inputs] and B [modules, adapters * rank, outputs].
    """

    tokens: slice
    foreign: Tensor | None
    pairs: list[_Pair]


class ConcatenatedLora:
    """Implements projections.LoraProducts by one product with A for up to four adapters."""

    def __init__(self, segments: Segments, num_tokens: int, matrices: ZeroFilledMatrices) -> None:
        """num_tokens: the number of tokens of all rows.

        Callers pad the batch to `padded_length(num_tokens)`, and do not read the results for the padding.
        """
        adapted = [segment for segment in segments if segment[2].lora]
        self._groups = [_group(neighbours, num_tokens, matrices) for neighbours in _neighbours(adapted)]

    def add(self, layer: int, projection: Projection, x: Tensor, out: Tensor) -> None:
        """Adds scaling * B A x to each token of `out` [tokens, outputs]; x: [tokens, inputs]."""
        for group in self._groups:
            a, b = group.pairs[projection_number(layer, projection)]
            low_rank = torch.mm(x[group.tokens], a.T)
            if group.foreign is not None:
                # masks instead of multiplying by zero: another adapter's NaN times zero would still be NaN
                low_rank.view(len(low_rank), len(b), -1).masked_fill_(group.foreign, 0.0)
            outputs = out[group.tokens].chunk(len(b), 1)
            for module_out, columns, module_b in zip(outputs, low_rank.chunk(len(b), 1), b, strict=True):
                module_out.addmm_(columns, module_b)


def _neighbours(segments: Segments) -> Iterator[Segments]:
    for first in range(0, len(segments), _MAX_ADAPTERS):
        yield segments[first : first + _MAX_ADAPTERS]


def _group(segments: Segments, num_tokens: int, matrices: ZeroFilledMatrices) -> _Group:
    start, end = segments[0][0], segments[-1][1]
    length = padded_length(end - start)
    window_start = min(start, padded_length(num_tokens) - length)
    rank = max(weights.config.rank for _, _, weights in segments)
    num_places = 1 << (len(segments) - 1).bit_length()  # three adapters are padded to the shapes of four
    adapters = [matrices.get(weights) for _, _, weights in segments]
    pairs = [_concatenate([adapter[i] for adapter in adapters], rank, num_places) for i in range(len(matrices.shapes))]
    foreign = torch.ones(length, 1, num_places * rank, dtype=torch.bool)
    for place, (segment_start, segment_end, _) in enumerate(segments):
        foreign[segment_start - window_start : segment_end - window_start, :, place * rank : (place + 1) * rank] = False
    is_mixed = bool(foreign[: num_tokens - window_start].any())
    return _Group(slice(window_start, window_start + length), foreign if is_mixed else None, pairs)


def _concatenate(pairs: Sequence[_Pair], rank: int, num_places: int) -> _Pair:
    """Returns A [modules * places * rank, inputs] and B [modules, places * rank, outputs]; empty places are zero."""
    if num_places == 1:
        [(a, b)] = pairs
        return a.flatten(0, 1), b
    padded = [(_pad_rank(a, rank), _pad_rank(b, rank)) for a, b in pairs]
    empty = [torch.zeros_like(tensor) for tensor in padded[0]] if num_places > len(pairs) else []
    a, b = (
        torch.stack([pair[i] for pair in padded] + [empty[i] for _ in range(num_places - len(pairs))], dim=1)
        for i in range(2)
    )
    return a.flatten(0, 2), b.flatten(1, 2)


def _pad_rank(matrices: Tensor, rank: int) -> Tensor:
    """Returns [modules, rank, size], zero beyond the rank of `matrices`."""
    missing = rank - matrices.shape[1]
    return functional.pad(matrices, (0, 0, 0, missing)) if missing else matrices
