"""A base stored as its quantised difference from another base, four bits per weight: 5.7 MB for all layers of MiniLM.

Fine-tuning changes weights little, and the changes need few bits: BitDelta (arXiv 2402.10193) stores one bit per
weight. The folder holds the difference; `load_base` adds it to the parent's weights in fp32. Each weight takes one
product and one sum, and these give the same result on every machine. So the fingerprint of the result can be checked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from msgspec import Struct
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lorb.errors import BaseNotFound, InvalidInput
from lorb_adapters.json_files import canonical_json, read_versioned

_CONFIG, _TENSORS = "lorb_delta.json", "lorb_delta.safetensors"
_SCHEMA_VERSIONS = range(1, 2)
_GROUP_SIZE = 64  # weights, in storage order, that share a scale
_MAX_LEVEL = 7  # levels run from -7 to 7
# `quantize` lets level 7 stand for each of these shares of a group's largest difference, and keeps the best. A share
# below 1 clips the largest differences, which can lower the group's total error.
_CLIPPING_SHARES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6, 0.5)
_LEVELS, _SCALES, _DIFFERENCE = ".levels", ".scales", ".difference"


@dataclass(frozen=True, slots=True)
class BaseDelta:
    """The difference between two bases of one architecture.

    Attributes:
        parent: the base that the difference is added to: a name, folder or hub id.
        parent_fingerprint: the parent's fingerprint, in hex.
        fingerprint: the fingerprint of the base that the sum gives, in hex.
        tensors: a weight NAME that differs has two tensors. NAME.levels, uint8, holds two levels per byte, the first
            in the low half; each level is stored plus 8. NAME.scales, bfloat16, holds one scale per 64 levels. A
            vector, or a weight whose size 64 does not divide, has the tensor NAME.difference, fp32, instead of both.
    """

    parent: str
    parent_fingerprint: str
    fingerprint: str
    tensors: Mapping[str, Tensor]

    @classmethod
    def read(cls, folder: Path) -> "BaseDelta | None":
        """Returns the delta in `folder`, or None if `folder` holds no delta. Raises BaseNotFound for broken files."""
        path = folder / _CONFIG
        try:
            if not path.is_file():
                return None
            file = read_versioned(path.read_bytes(), _Config, _SCHEMA_VERSIONS, str(path), BaseNotFound)
            path = folder / _TENSORS
            tensors = load_file(path)
        except (OSError, ValueError, SafetensorError) as error:  # ValueError: a null character in the path
            raise BaseNotFound(f"{path} cannot be read: {error}", field="base") from error
        return cls(file.parent, file.parent_fingerprint, file.fingerprint, tensors)

    def write(self, folder: Path) -> None:
        """Writes the two files into an existing folder."""
        save_file(dict(self.tensors), folder / _TENSORS)
        config = {
            "schema_version": _SCHEMA_VERSIONS[-1],
            "parent": self.parent,
            "parent_fingerprint": self.parent_fingerprint,
            "fingerprint": self.fingerprint,
        }
        (folder / _CONFIG).write_bytes(canonical_json(config))

    @torch.no_grad()
    def add_to(self, encoder: nn.Module) -> None:
        """Adds the difference in place to `encoder`, which is the parent in fp32.

        Raises BaseNotFound if a weight is missing from `encoder` or has another size there.
        """
        weights = encoder.state_dict()
        for key in sorted(self.tensors):
            name, _, kind = key.rpartition(".")
            if f".{kind}" == _SCALES:
                continue
            difference = self._difference(key, name)
            if name not in weights or weights[name].numel() != difference.numel():
                raise BaseNotFound(
                    f"the base's delta has {difference.numel()} values for {name}, which do not fit the parent "
                    f"{self.parent!r}",
                    field="base",
                )
            weights[name].add_(difference.view_as(weights[name]))

    def _difference(self, key: str, name: str) -> Tensor:
        """Returns the values that the tensor `key` holds for the weight `name`."""
        tensor, scales = self.tensors[key], self.tensors.get(name + _SCALES)
        if key == name + _DIFFERENCE and tensor.is_floating_point():
            return tensor
        if key == name + _LEVELS and scales is not None and _are_quantised(tensor, scales):
            return dequantize(tensor, scales)
        raise BaseNotFound(f"the base's delta has a tensor {key} that no weight's difference has", field="base")


class _Config(Struct):
    parent: str
    parent_fingerprint: str
    fingerprint: str


def differences(parent: nn.Module, changed: nn.Module) -> dict[str, Tensor]:
    """Returns the tensors of a BaseDelta: `changed` minus `parent`, quantised; equal weights are left out.

    Raises InvalidInput if the two encoders differ in the names or shapes of their weights.
    """
    before, after = parent.state_dict(), changed.state_dict()
    shapes = [{name: tensor.shape for name, tensor in state.items()} for state in (before, after)]
    if shapes[0] != shapes[1]:
        raise InvalidInput(
            "the two bases differ in architecture: name the base that the changed base was trained from", field="of"
        )
    tensors = {}
    for name, tensor in after.items():
        if torch.equal(tensor, before[name]):
            continue
        difference = (tensor - before[name]).flatten()
        if tensor.dim() < 2 or difference.numel() % _GROUP_SIZE:
            tensors[name + _DIFFERENCE] = difference
        else:
            tensors[name + _LEVELS], tensors[name + _SCALES] = quantize(difference)
    return tensors


def quantize(values: Tensor) -> tuple[Tensor, Tensor]:
    """Quantises `values`, [64 n] fp32.

    Returns (levels, scales). levels: [32 n] uint8, two levels per byte. scales: [n] bfloat16, each with the least
    squared error among the candidates.
    """
    groups = values.view(-1, _GROUP_SIZE)
    largest = groups.abs().amax(1, keepdim=True)
    best = torch.full_like(largest, torch.inf)
    levels, scales = torch.zeros_like(groups), torch.zeros_like(largest)
    for share in _CLIPPING_SHARES:
        scale = (largest * share / _MAX_LEVEL).bfloat16().float()
        rounded = (groups / scale.clamp(min=torch.finfo(torch.float32).tiny)).round().clamp(-_MAX_LEVEL, _MAX_LEVEL)
        error = (groups - rounded * scale).square().sum(1, keepdim=True)
        better = error < best
        best = torch.where(better, error, best)
        levels, scales = torch.where(better, rounded, levels), torch.where(better, scale, scales)
    nibbles = (levels.flatten() + 8).to(torch.uint8).view(-1, 2)
    return nibbles[:, 0] | nibbles[:, 1] << 4, scales.flatten().bfloat16()


def _are_quantised(levels: Tensor, scales: Tensor) -> bool:
    """Returns whether the tensors have the dtypes and sizes that `quantize` returns."""
    sizes_fit = levels.dim() == scales.dim() == 1 and 2 * levels.numel() == _GROUP_SIZE * scales.numel()
    return sizes_fit and levels.dtype == torch.uint8 and scales.is_floating_point()


def dequantize(levels: Tensor, scales: Tensor) -> Tensor:
    """Undoes `quantize` up to rounding: returns the values, [64 n] fp32.

    levels: [32 n] uint8, two levels per byte. scales: [n] bfloat16.
    """
    nibbles = torch.stack([levels & 15, levels >> 4], 1).float() - 8
    return (nibbles.view(-1, _GROUP_SIZE) * scales.float().unsqueeze(1)).flatten()
