"""Many adapters in one pass by a few grouped products a join, however many they are."""

import torch
from torch import Tensor
from torch.nn import functional

from lorb_adapters.encoder.flat_adapters import RANK_STEP, FlatAdapters, padded_rank
from lorb_adapters.encoder.lora_matrices import Projection, Segments, covering

# Below this the segments' own products are as few.
_FEWEST_SEGMENTS = 3


def prefers_groups(device: torch.device, dtype: torch.dtype, num_segments: int) -> bool:
    """Whether grouped products are the faster way: from SM90 on there is a kernel, before it a loop that waits."""
    return (
        num_segments >= _FEWEST_SEGMENTS
        and device.type == "cuda"
        and dtype == torch.bfloat16
        and hasattr(functional, "grouped_mm")
        and torch.cuda.get_device_capability(device) >= (9, 0)
    )


class GroupedLora:
    """LoraBranches of a whole pass: tokens of one segment are one group, those outside have a group of zeros."""

    def __init__(self, segments: Segments, num_tokens: int, flats: FlatAdapters, device: torch.device) -> None:
        self._rank = max((padded_rank(weights) for _, _, weights in segments if weights.lora), default=RANK_STEP)
        groups = list(covering(segments, num_tokens))  # a grouped product leaves no token out
        self._matrices = flats.stack([weights for _, _, weights in groups], self._rank)
        ends_here = torch.tensor([stop for _, stop, _ in groups], dtype=torch.int32)
        if device.type == "cuda":
            ends_here = ends_here.pin_memory()
        self._ends = ends_here.to(device, non_blocking=True)

    def add(self, layer: int, join: Projection, x: Tensor, out: Tensor) -> None:
        """As LoraBranches has it."""
        a, b = self._matrices[len(Projection) * layer + join]
        # [groups, out, in] transposed: the layout that the kernels are fast with
        low_rank = functional.grouped_mm(x, a.flatten(1, 2).transpose(1, 2), offs=self._ends)
        parts, size = b.shape[1:3]
        for part in range(parts):
            ranks = low_rank[:, part * self._rank : (part + 1) * self._rank]
            added = functional.grouped_mm(ranks, b[:, part].transpose(1, 2), offs=self._ends)
            out[:, part * size : (part + 1) * size].add_(added)
