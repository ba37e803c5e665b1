"""One loaded adapter, the digest that names it, and what a trainer hands over to make one."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lorb.ranked import AdapterRef
from lorb_adapters.lora.weights import AdapterWeights, adapter_state_dict
from lorb_adapters.ranking import Ranking
from lorb_adapters.store.manifest import GoldenList, Manifest
from lorb_adapters.text import TextNormalization


@dataclass(frozen=True)
class Adapter:
    """A version that has been verified.

    Attributes:
        manifest: what it says about itself.
        weights: on the base's device, in the base's dtype.
    """

    manifest: Manifest
    weights: AdapterWeights

    @property
    def domain(self) -> str:
        """Its domain."""
        return self.manifest.domain

    @property
    def version(self) -> str:
        """Its full version id."""
        return self.manifest.version

    @property
    def digest(self) -> str:
        """sha256 of its weights, in hex."""
        return self.manifest.weights_digest

    @property
    def ref(self) -> AdapterRef:
        """How an answer names it."""
        return AdapterRef(self.domain, self.version, self.digest)


@dataclass(frozen=True)
class Publication:
    """All that a version is made of; the store adds its number, time and digests. Attributes as in Manifest.

    Attributes:
        report_md: the report, for people.
        report_json: the same, for programs.
    """

    domain: str
    weights: AdapterWeights
    base_name: str
    base_fingerprint: str
    ranking: Ranking
    normalization: TextNormalization
    uses_context: bool
    first_pass_statistics: Mapping[str, float]
    training_data: Mapping[str, str]
    dev_metrics: Mapping[str, float]
    golden_lists: tuple[GoldenList, ...]
    report_md: str
    report_json: str


def weights_digest(weights: AdapterWeights) -> str:
    """sha256 of the weights alone, in hex: the same however the files are laid out.

    Covers every tensor in fp32 by sorted name, with its dtype, shape and little-endian bytes, the values of
    the config that change the function, and the head's kind.
    """
    config = weights.config
    digest = hashlib.sha256(b"lorb adapter weights 1\n")
    _add(digest, {"rank": config.rank, "alpha": float(config.alpha), "use_rslora": config.use_rslora})
    _add(digest, {"head": weights.head.kind})
    for name, tensor in sorted(_tensors(weights).items()):
        _add(digest, {"name": name, "dtype": "float32", "shape": list(tensor.shape)})
        digest.update(tensor.numpy().astype("<f4", copy=False).tobytes())
    return digest.hexdigest()


def head_state_dict(weights: AdapterWeights) -> dict[str, Tensor]:
    """The head in fp32, as `head.safetensors` holds it."""
    head = weights.head
    return {"weight": _plain(head.weight), "bias": _plain(head.bias)}


def _tensors(weights: AdapterWeights) -> dict[str, Tensor]:
    head = {f"head.{name}": tensor for name, tensor in head_state_dict(weights).items()}
    return adapter_state_dict(weights) | head


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float32).contiguous()


def _add(digest: "hashlib._Hash", header: Mapping[str, object]) -> None:
    # one line of JSON each: no two different sets of weights spell the same bytes
    digest.update(json.dumps(header, sort_keys=True).encode() + b"\n")
