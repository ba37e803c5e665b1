"""LoRA on CUDA by grouped products: a few kernels per projection, for any number of adapters in the batch."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from lorb_adapters.encoder.memory import WeakAdapterCache
from lorb_adapters.encoder.projections import Projection, lora_matrices, num_modules, projection_number
from lorb_adapters.encoder.segments import Segments, fill_gaps
from lorb_adapters.lora.weights import AdapterWeights

_RANK_STEP = 8  # a grouped product needs strides of whole 16 bytes: 8 elements of 16 bits
_MIN_SEGMENTS = 3  # a loop over fewer segments launches no more kernels than grouped products do

# The shapes of A [modules, rank, inputs] and of B [modules, outputs, rank] at one projection.
_Block = tuple[tuple[int, int, int], tuple[int, int, int]]


def prefers_grouped(device: torch.device, dtype: torch.dtype, num_segments: int) -> bool:
    """Returns whether grouped products are faster than a loop over segments.

    torch has a kernel for grouped products from SM90 on. On earlier GPUs it runs a loop that waits for the device.
    """
    return (
        num_segments >= _MIN_SEGMENTS
        and device.type == "cuda"
        and dtype == torch.bfloat16
        and hasattr(functional, "grouped_mm")
        and torch.cuda.get_device_capability(device) >= (9, 0)
    )


def padded_rank(weights: AdapterWeights) -> int:
    """Returns an adapter's rank rounded up to a multiple of 8."""
    return math.ceil(weights.config.rank / _RANK_STEP) * _RANK_STEP


class FlatAdapters:
    """Each adapter as one vector: A and scaling * B of every projection in turn, zero where a module is not adapted.

    A vector is cached at the adapter's own padded rank until the adapter is freed. A batch may pad it to a higher rank;
    caching a vector for every such rank would take several times the memory.
    """

    def __init__(self, shapes: Sequence[tuple[int, int]], device: torch.device, dtype: torch.dtype) -> None:
        """shapes: a pair (inputs, outputs) for each of the four projections of every layer, layer by layer.

        A fused projection counts the outputs of one of its modules.
        """
        self._shapes = shapes
        self._device = device
        self._dtype = dtype
        self._cache: WeakAdapterCache[Tensor] = WeakAdapterCache()

    def stack(self, adapters: Sequence[AdapterWeights | None], rank: int) -> list[tuple[Tensor, Tensor]]:
        """Returns, for each projection, A [adapters, modules, rank, inputs] and B [adapters, modules, outputs, rank].

        adapters: None stands for an adapter of zeros. rank: at least every adapter's `padded_rank`.
        """
        blocks = self._blocks(rank)
        return _views(torch.stack([self._vector(weights, rank) for weights in adapters]), blocks)

    def size_bytes(self, weights: AdapterWeights) -> int:
        """Memory of an adapter's vector, in bytes."""
        return self._size(padded_rank(weights)) * self._dtype.itemsize

    def _blocks(self, rank: int) -> list[_Block]:
        return [
            ((num_modules(number), rank, inputs), (num_modules(number), outputs, rank))
            for number, (inputs, outputs) in enumerate(self._shapes)
        ]

    def _vector(self, weights: AdapterWeights | None, rank: int) -> Tensor:
        if weights is None or not weights.lora:
            return self._zeros(rank)
        own_rank = padded_rank(weights)
        vector = self._cache.get_or_build(weights, lambda: self._flatten(weights, own_rank))
        return vector if own_rank == rank else self._widen(vector, own_rank, rank)

    def _widen(self, vector: Tensor, own_rank: int, rank: int) -> Tensor:
        """Returns the same adapter's vector at a higher rank, padded with zeros."""
        wide = self._zeros(rank)
        sources = _views(vector[None], self._blocks(own_rank))
        for (a, b), (wide_a, wide_b) in zip(sources, _views(wide[None], self._blocks(rank)), strict=True):
            wide_a[:, :, :own_rank] = a
            wide_b[..., :own_rank] = b
        return wide

    def _zeros(self, rank: int) -> Tensor:
        return torch.zeros(self._size(rank), dtype=self._dtype, device=self._device)

    def _size(self, rank: int) -> int:
        return sum(math.prod(shape) for block in self._blocks(rank) for shape in block)

    def _flatten(self, weights: AdapterWeights, rank: int) -> Tensor:
        flat = self._zeros(rank)
        for number, (flat_a, flat_b) in enumerate(_views(flat[None], self._blocks(rank))):
            for module, a, b in lora_matrices(weights, number):
                flat_a[0, module, : a.shape[0]] = a
                flat_b[0, module, :, : a.shape[0]] = b * weights.config.scaling
        return flat


class GroupedLora:
    """Implements projections.LoraProducts by grouped products: a group per segment, and a group of zeros per gap."""

    def __init__(self, segments: Segments, num_tokens: int, flat: FlatAdapters, device: torch.device) -> None:
        self._rank = max((padded_rank(weights) for _, _, weights in segments if weights.lora), default=_RANK_STEP)
        groups = list(fill_gaps(segments, num_tokens))  # the groups must cover all tokens
        self._matrices = flat.stack([weights for _, _, weights in groups], self._rank)
        ends = torch.tensor([end for _, end, _ in groups], dtype=torch.int32)
        if device.type == "cuda":
            ends = ends.pin_memory()
        self._ends = ends.to(device, non_blocking=True)

    def add(self, layer: int, projection: Projection, x: Tensor, out: Tensor) -> None:
        """Adds scaling * B A x to each token of `out` [tokens, outputs]; x: [tokens, inputs]."""
        a, b = self._matrices[projection_number(layer, projection)]
        # the kernels are fastest if memory holds [groups, outputs, inputs] and a transposed view is passed
        low_rank = functional.grouped_mm(x, a.flatten(1, 2).transpose(1, 2), offs=self._ends)
        modules, size = b.shape[1:3]
        for module in range(modules):
            columns = low_rank[:, module * self._rank : (module + 1) * self._rank]
            product = functional.grouped_mm(columns, b[:, module].transpose(1, 2), offs=self._ends)
            out[:, module * size : (module + 1) * size].add_(product)


def _views(flat: Tensor, blocks: Sequence[_Block]) -> list[tuple[Tensor, Tensor]]:
    """Returns A and B of every block as views of `flat`, [adapters, size].

    The shape of a view is the number of adapters, followed by the shape in the block.
    """
    views, position = [], 0
    for shapes in blocks:
        pair = []
        for shape in shapes:
            size = math.prod(shape)
            pair.append(flat[:, position : position + size].view(len(flat), *shape))
            position += size
        views.append((pair[0], pair[1]))
    return views
