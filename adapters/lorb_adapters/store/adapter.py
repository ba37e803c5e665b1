"""A verified adapter in memory, the digest of its weights, and the contents of a new version."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lorb.errors import InvalidAdapter
from lorb.ranked import AdapterRef
from lorb_adapters.ranking import Ranking
from lorb_adapters.store.manifest import GoldenList, Manifest
from lorb_adapters.text import TextNormalization

if TYPE_CHECKING:  # torch takes a second to import, and most commands on a store read no weights
    from torch import Tensor

    from lorb_adapters.lora.weights import AdapterWeights


@dataclass(frozen=True)
class Adapter:
    """A version that has been verified.

    Attributes:
        manifest: the content of its manifest.json.
        weights: LoRA and head, on the base's device and in the base's dtype.
    """

    manifest: Manifest
    weights: "AdapterWeights"

    @property
    def domain(self) -> str:
        """The domain."""
        return self.manifest.domain

    @property
    def version(self) -> str:
        """The full version id."""
        return self.manifest.version

    @property
    def digest(self) -> str:
        """sha256 of the weights, in hex."""
        return self.manifest.weights_digest

    @property
    def ref(self) -> AdapterRef:
        """The domain, version and digest, by which rescoring results name the adapter."""
        return AdapterRef(self.domain, self.version, self.digest)


@dataclass(frozen=True)
class Publication:
    """The contents of a new version. The store adds the version number, the time and the digests.

    Attributes:
        domain: the adapter's domain.
        weights: LoRA and head, on any device and in any dtype. The store writes them in fp32.
        base_name: the base's name, as the trainer was given it. It is used in messages and by `choose_base`.
        base_fingerprint: sha256 of the base that the adapter was trained for, in hex.
        ranking: weight, posterior scale, switching margin and rank prior.
        normalization: how transcripts are normalised before the model reads them.
        uses_context: whether the model reads the preceding turn.
        first_pass_statistics: statistics of the training lists' first-pass scores, by name.
        training_data: sha256 of each training file, in hex, by file name.
        dev_metrics: the report's metrics on dev, by name.
        golden_lists: lists with the scores that the adapter must reproduce.
        report_md: the report for people.
        report_json: the report for programs.
    """

    domain: str
    weights: "AdapterWeights"
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


def weights_digest(weights: "AdapterWeights") -> str:
    """Returns the sha256 of the weights, in hex. It does not depend on how files store them.

    The hash covers the LoRA configuration's rank, alpha and use_rslora, and the head's kind. For each tensor, in order
    of name, it covers the name, the dtype, the shape, and the fp32 values as little-endian bytes.
    """
    config = weights.config
    digest = hashlib.sha256(b"lorb adapter weights 1\n")
    _add(digest, {"rank": config.rank, "alpha": float(config.alpha), "use_rslora": config.use_rslora})
    _add(digest, {"head": weights.head.kind})
    for name, tensor in sorted(_tensors(weights).items()):
        _add(digest, {"name": name, "dtype": "float32", "shape": list(tensor.shape)})
        digest.update(tensor.numpy().astype("<f4", copy=False).tobytes())
    return digest.hexdigest()


def check_finite(weights: "AdapterWeights") -> None:
    """Raises InvalidAdapter, which names the tensor, if a weight is NaN or infinite."""
    for name, tensor in _tensors(weights).items():
        if not bool(tensor.isfinite().all()):
            raise InvalidAdapter(f"{name} holds values that are not finite: not published", field=name)


def head_state_dict(weights: "AdapterWeights") -> "dict[str, Tensor]":
    """The tensors of `head.safetensors`, in fp32 on the CPU."""
    head = weights.head
    return {"weight": _fp32_on_cpu(head.weight), "bias": _fp32_on_cpu(head.bias)}


def _tensors(weights: "AdapterWeights") -> "dict[str, Tensor]":
    from lorb_adapters.lora.weights import adapter_state_dict

    head = {f"head.{name}": tensor for name, tensor in head_state_dict(weights).items()}
    return adapter_state_dict(weights) | head


def _fp32_on_cpu(tensor: "Tensor") -> "Tensor":
    return tensor.detach().cpu().float().contiguous()


def _add(digest: "hashlib._Hash", header: Mapping[str, object]) -> None:
    # each header is one line of JSON, so that the hashed bytes of different adapters always differ
    digest.update(json.dumps(header, sort_keys=True).encode() + b"\n")
