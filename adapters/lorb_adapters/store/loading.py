"""From a version in the store to an adapter that may serve: nothing is believed that has not been checked."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from lorb.errors import ForeignBase, InvalidAdapter
from lorb_adapters.json_fields import JsonFields
from lorb_adapters.lora.sites import adapted_sites
from lorb_adapters.lora.weights import AdapterWeights, LoraConfig, weights_from_state_dict
from lorb_adapters.store.adapter import Adapter, weights_digest
from lorb_adapters.store.manifest import GoldenList, Manifest
from lorb_adapters.store.signing import SIGNATURE, TrustedKeys
from lorb_adapters.store.store import Store
from lorb_adapters.store.version_files import (
    CONFIG,
    HEAD_WEIGHTS,
    LORA_WEIGHTS,
    MANIFEST,
    check_digests,
    placed_manifest,
)
from lorb_adapters.text import TextEncoder

if TYPE_CHECKING:  # transformers takes seconds to import, and files can be verified without it
    from lorb_adapters.base.loader import Base
    from lorb_adapters.model import RescoringModel

_RELATIVE_TOLERANCE = 1e-4  # in fp32, of the list's largest score: another machine sums in another order
_ABSOLUTE_TOLERANCE = 1e-5  # for a list whose scores are all next to 0
_CLEAR_GAP = 0.05  # in bf16 and fp16, of the list's largest score: closer ones may change places


def load_adapter(store: Store, domain: str, version: str, base: "Base", trusted: TrustedKeys | None = None) -> Adapter:
    """Reads and verifies one version; its weights land on the base's device, in its dtype.

    Each file is read once, and the bytes that are hashed are the bytes that are parsed. With `trusted`, one of those
    keys must have signed it.

    Raises:
        InvalidAdapter: a file or key is missing, foreign, torn, changed, of a wrong shape or value, or not signed.
        ForeignBase: it was made for another base.
        UnknownDomain, UnknownVersion, StoreUnavailable: it cannot be found or read.
    """
    manifest, files = verified_files(store, domain, version, trusted)
    _check_base(manifest, base)
    weights = _weights(manifest, files, base)
    if weights_digest(weights) != manifest.weights_digest:
        raise InvalidAdapter(
            f"{MANIFEST}: weights_digest {manifest.weights_digest[:12]} is not that of the weights in "
            f"{LORA_WEIGHTS} and {HEAD_WEIGHTS}",
            field="weights_digest",
        )
    return Adapter(manifest, weights.to(base.device, base.dtype))


def verified_files(
    store: Store, domain: str, version: str, trusted: TrustedKeys | None = None
) -> tuple[Manifest, Mapping[str, bytes]]:
    """Reads one version; raises InvalidAdapter where a file is not the one that the manifest tells of.

    With `trusted`, also where none of those keys signed the manifest.
    """
    files = store.read_files(domain, version)
    if trusted is not None:
        trusted.check(files[MANIFEST], files.get(SIGNATURE))
    manifest = placed_manifest(files[MANIFEST], domain, version)
    check_digests(files, manifest)
    return manifest, files


def check_golden(adapter: Adapter, model: "RescoringModel", text_encoder: TextEncoder) -> None:
    """Scores the golden lists anew; raises InvalidAdapter naming the list where they come out otherwise.

    In fp32 the scores must be the same, relative 1e-4; in other dtypes the order must, where gaps are clear.
    To be called on the thread that owns the model.
    """
    for position, golden in enumerate(adapter.manifest.golden_lists):
        scores = _score(golden, adapter, model, text_encoder)
        place = f"golden_lists[{position}] ({golden.nbest.id[:64]!r})"
        if _dtype(adapter, model) == torch.float32:
            _check_equal(place, golden.rescoring_scores, scores)
        else:
            _check_order(place, golden.rescoring_scores, scores)


def _check_base(manifest: Manifest, base: "Base") -> None:
    if manifest.base_fingerprint != base.fingerprint:
        raise ForeignBase(
            f"{manifest.domain} {manifest.version} was made for base {manifest.base_name} "
            f"({manifest.base_fingerprint[:12]}), this is {base.name} ({base.fingerprint[:12]})",
            field="base_fingerprint",
        )


def _weights(manifest: Manifest, files: Mapping[str, bytes], base: "Base") -> AdapterWeights:
    fields = JsonFields.parse(files[CONFIG], CONFIG, InvalidAdapter)
    config = LoraConfig.from_peft_json(fields.mapping())
    sites = adapted_sites(base.encoder, config)
    if not sites:
        raise InvalidAdapter(
            f"{CONFIG}: the base has no layer named {', '.join(config.target_modules)}"
            + ("" if config.layers is None else f" among its layers {', '.join(map(str, config.layers))}"),
            field="target_modules",
        )
    lora, head = _tensors(files, LORA_WEIGHTS), _tensors(files, HEAD_WEIGHTS)
    return weights_from_state_dict(config, lora, manifest.head_kind, head, sites)


def _tensors(files: Mapping[str, bytes], name: str) -> dict[str, Tensor]:
    try:
        return load(files[name])
    except (SafetensorError, ValueError, KeyError, RuntimeError) as problem:
        raise InvalidAdapter(f"{name} is not a safetensors file: {problem}", field=name) from problem


def _score(golden: GoldenList, adapter: Adapter, model: "RescoringModel", text_encoder: TextEncoder) -> list[float]:
    """Rescoring scores in the order of the list's distinct texts."""
    manifest = adapter.manifest
    texts = [hypothesis.transcript for hypothesis in golden.nbest.distinct()]
    rows = text_encoder.encode(texts, golden.nbest.context, manifest.normalization, manifest.uses_context)
    scores: list[float] = model.score(rows, [adapter.weights], [0] * len(rows)).tolist()
    return scores


def _dtype(adapter: Adapter, model: "RescoringModel") -> torch.dtype:
    for a, _ in adapter.weights.lora.values():
        return a.dtype
    return model.base.dtype


def _check_equal(place: str, expected: Sequence[float], scores: Sequence[float]) -> None:
    tolerance = _RELATIVE_TOLERANCE * max(map(abs, expected)) + _ABSOLUTE_TOLERANCE
    for i, (want, got) in enumerate(zip(expected, scores, strict=True)):
        if not abs(want - got) <= tolerance:  # this way round NaN is refused too
            raise InvalidAdapter(
                f"{place}: hypothesis {i} scores {got:.6g}, the trainer found {want:.6g}",
                field="golden_lists",
            )


def _check_order(place: str, expected: Sequence[float], scores: Sequence[float]) -> None:
    clear = _CLEAR_GAP * max(map(abs, expected))
    for i, want_higher in enumerate(expected):
        for j, want_lower in enumerate(expected):
            if want_higher - want_lower > clear and not scores[i] > scores[j]:
                raise InvalidAdapter(
                    f"{place}: hypothesis {i} no longer scores above hypothesis {j} "
                    f"({scores[i]:.4g} against {scores[j]:.4g}, the trainer found {want_higher:.4g} "
                    f"against {want_lower:.4g})",
                    field="golden_lists",
                )
