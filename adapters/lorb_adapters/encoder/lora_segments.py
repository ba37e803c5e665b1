"""LoRA segment by segment: for each adapter, a product with the A of a projection and one with each B.

Used in fp32 on a CPU. On CUDA, used for one or two segments, and where grouped products have no kernel: in float32 and
float16, and on GPUs before SM90.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lorb_adapters.encoder.memory import WeakAdapterCache, Workspace
from lorb_adapters.encoder.projections import Projection, lora_matrices, num_modules, projection_number
from lorb_adapters.encoder.segments import Segments
from lorb_adapters.lora.weights import AdapterWeights


@dataclass(frozen=True, slots=True)
class LoraMatrices:
    """An adapter's matrices at one projection.

    Attributes:
        a: [inputs, adapted modules * rank], the A of the adapted modules side by side.
        b: for each adapted module [rank, outputs of a module].
        modules: the position of each adapted module in the projection's list of modules.
        num_modules: the number of modules of the projection.
    """

    a: Tensor
    b: Sequence[Tensor]
    modules: tuple[int, ...]
    num_modules: int

    def add(self, low_rank: Tensor, out: Tensor, scaling: float) -> None:
        """Adds scaling * (low_rank @ b) to `out`, [tokens, outputs].

        low_rank: the input times `a`, [tokens, adapted modules * rank].
        Each module has a product of its own: a batched product would copy the outputs, which are not contiguous, to
        other memory and back.
        """
        outputs = out.chunk(self.num_modules, 1)
        for module, columns, b in zip(self.modules, low_rank.chunk(len(self.b), 1), self.b, strict=True):
            outputs[module].addmm_(columns, b, alpha=scaling)


class LoraMatricesCache:
    """Caches each adapter's matrices at every projection until the adapter is freed.

    Where a projection has several adapted modules, their joined A is a copy and takes memory of its own.
    """

    def __init__(self, num_layers: int, dtype: torch.dtype) -> None:
        self._num_projections = num_layers * len(Projection)
        self._dtype = dtype
        self._cache: WeakAdapterCache[list[LoraMatrices | None]] = WeakAdapterCache()

    def get(self, weights: AdapterWeights) -> list[LoraMatrices | None]:
        """Returns the adapter's matrices at each of the layers * 4 projections; None where it adapts no module."""
        return self._cache.get_or_build(
            weights, lambda: [self._build(weights, number) for number in range(self._num_projections)]
        )

    def size_bytes(self, weights: AdapterWeights) -> int:
        """Memory of an adapter's joined A in `dtype`, in bytes; the other matrices are the adapter's own."""
        by_projection = (lora_matrices(weights, number) for number in range(self._num_projections))
        joined = (a.numel() for adapted in by_projection if len(adapted) > 1 for _, a, _ in adapted)
        return sum(joined) * self._dtype.itemsize

    def _build(self, weights: AdapterWeights, number: int) -> LoraMatrices | None:
        adapted = lora_matrices(weights, number)
        if not adapted:
            return None
        a = torch.cat([a for _, a, _ in adapted]) if len(adapted) > 1 else adapted[0][1]
        b = tuple(b.to(self._dtype).T for _, _, b in adapted)
        return LoraMatrices(a.to(self._dtype).T, b, tuple(module for module, _, _ in adapted), num_modules(number))


class SegmentLora:
    """Implements projections.LoraProducts by a loop over the segments of a batch."""

    def __init__(self, segments: Segments, cache: LoraMatricesCache, workspace: Workspace) -> None:
        self._segments = [
            (slice(start, end), cache.get(weights), weights.config.scaling)
            for start, end, weights in segments
            if weights.lora
        ]
        self._workspace = workspace

    def add(self, layer: int, projection: Projection, x: Tensor, out: Tensor) -> None:
        """Adds scaling * B A x to each token of `out` [tokens, outputs]; x: [tokens, inputs]."""
        for tokens, by_projection, scaling in self._segments:
            matrices = by_projection[projection_number(layer, projection)]
            if matrices is None:
                continue
            shape = (tokens.stop - tokens.start, matrices.a.shape[1])
            low_rank = self._workspace.buffer("low rank", shape, x.dtype)
            torch.mm(x[tokens], matrices.a, out=low_rank)
            matrices.add(low_rank, out[tokens], scaling)
