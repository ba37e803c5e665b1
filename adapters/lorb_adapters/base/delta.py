"""A base kept as what changed in another one's weights, four bits a weight: 5.7 MB for all layers of MiniLM.

Fine-tuning moves weights little, and what it moves them by needs few bits: BitDelta (arXiv 2402.10193) does with one.
A folder has the difference alone; `load_base` adds it to the parent's weights in fp32. A product and a sum of two
floats are the same on every machine, hence so is the fingerprint, which is checked.
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
_GROUP_SIZE = 64  # weights, in the order of their storage, that share a scale
_MOST_LEVELS = 7  # on each side of 0
# A group's scale lets its largest difference clip where that lessens the others' rounding by more.
_CLIPPING = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6, 0.5)
_LEVELS, _SCALES, _DIFFERENCE = ".levels", ".scales", ".difference"


@dataclass(frozen=True, slots=True)
class BaseDelta:
    """What makes one base of another.

    Attributes:
        parent: the other base, as `load_base` takes it.
        parent_fingerprint: of the weights that the differences are to be added to, in hex.
        fingerprint: of the sum.
        tensors: by name of the weight. NAME.levels: uint8, two levels a byte, the first in the low half, each 8 more
            than it means; NAME.scales: bfloat16, one for 64 levels; or NAME.difference: fp32, for vectors.
    """

    parent: str
    parent_fingerprint: str
    fingerprint: str
    tensors: Mapping[str, Tensor]

    @classmethod
    def read(cls, folder: Path) -> "BaseDelta | None":
        """The delta in a folder; None where it holds a base of another kind. Raises BaseNotFound for a broken one."""
        config = folder / _CONFIG
        if not config.is_file():
            return None
        try:
            file = read_versioned(config.read_bytes(), _Config, _SCHEMA_VERSIONS, str(config), BaseNotFound)
            tensors = load_file(folder / _TENSORS)
        except (OSError, SafetensorError) as error:
            raise BaseNotFound(f"{folder / _TENSORS} cannot be read: {error}", field="base") from error
        return cls(file.parent, file.parent_fingerprint, file.fingerprint, tensors)

    def write(self, folder: Path) -> None:
        """Writes the two files into a folder that is there."""
        save_file(dict(self.tensors), folder / _TENSORS)
        said = {
            "schema_version": _SCHEMA_VERSIONS[-1],
            "parent": self.parent,
            "parent_fingerprint": self.parent_fingerprint,
            "fingerprint": self.fingerprint,
        }
        (folder / _CONFIG).write_bytes(canonical_json(said))

    @torch.no_grad()
    def add_to(self, encoder: nn.Module) -> None:
        """Changes the parent's weights, fp32, in place. Raises BaseNotFound where they are of other names or shapes."""
        weights = encoder.state_dict()
        for name, kind in sorted(key.rsplit(".", 1) for key in self.tensors):
            if f".{kind}" == _SCALES:
                continue
            difference = self._difference(name)
            if name not in weights or weights[name].numel() != difference.numel():
                raise BaseNotFound(
                    f"the base's delta has {difference.numel()} values for {name}, which its parent {self.parent!r} "
                    "has not",
                    field="base",
                )
            weights[name].add_(difference.view_as(weights[name]))

    def _difference(self, name: str) -> Tensor:
        if name + _DIFFERENCE in self.tensors:
            return self.tensors[name + _DIFFERENCE]
        return dequantized(self.tensors[name + _LEVELS], self.tensors[name + _SCALES])


class _Config(Struct):
    parent: str
    parent_fingerprint: str
    fingerprint: str


def differences(parent: nn.Module, changed: nn.Module) -> dict[str, Tensor]:
    """The tensors of a BaseDelta: `changed` less `parent`, rounded; weights that are equal are left out.

    Raises InvalidInput where the two have not the same weights by name and shape.
    """
    before, after = parent.state_dict(), changed.state_dict()
    shapes = [{name: tensor.shape for name, tensor in state.items()} for state in (before, after)]
    if shapes[0] != shapes[1]:
        raise InvalidInput("the two bases are not of the same architecture: there is no difference to keep", field="of")
    tensors = {}
    for name, tensor in after.items():
        if torch.equal(tensor, before[name]):
            continue
        difference = (tensor - before[name]).flatten()
        if tensor.dim() < 2 or difference.numel() % _GROUP_SIZE:
            tensors[name + _DIFFERENCE] = difference
        else:
            tensors[name + _LEVELS], tensors[name + _SCALES] = quantized(difference)
    return tensors


def quantized(values: Tensor) -> tuple[Tensor, Tensor]:
    """Levels and scales of [64 n] fp32 values: the scale of each group is the one with the least squared error."""
    groups = values.view(-1, _GROUP_SIZE)
    largest = groups.abs().amax(1, keepdim=True)
    best = torch.full_like(largest, torch.inf)
    levels, scales = torch.zeros_like(groups), torch.zeros_like(largest)
    for share in _CLIPPING:
        scale = (largest * share / _MOST_LEVELS).bfloat16().float()
        rounded = (groups / scale.clamp(min=torch.finfo(torch.float32).tiny)).round().clamp(-_MOST_LEVELS, _MOST_LEVELS)
        error = (groups - rounded * scale).square().sum(1, keepdim=True)
        better = error < best
        best = torch.where(better, error, best)
        levels, scales = torch.where(better, rounded, levels), torch.where(better, scale, scales)
    halves = (levels.flatten() + 8).to(torch.uint8).view(-1, 2)
    return halves[:, 0] | halves[:, 1] << 4, scales.flatten().bfloat16()


def dequantized(levels: Tensor, scales: Tensor) -> Tensor:
    """The values that levels and scales stand for, flat, fp32."""
    halves = torch.stack([levels & 15, levels >> 4], 1).float() - 8
    return (halves.view(-1, _GROUP_SIZE) * scales.float().unsqueeze(1)).flatten()
