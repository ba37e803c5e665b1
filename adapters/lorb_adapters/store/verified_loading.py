"""Loads a version of a store after verifying its files, signature, base, tensors and digest."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lorb.errors import ForeignBase, InvalidAdapter
from lorb_adapters.json_files import read_json
from lorb_adapters.lora.config import LoraConfig
from lorb_adapters.store.adapter import Adapter, weights_digest
from lorb_adapters.store.manifest import Manifest
from lorb_adapters.store.signing import SIGNATURE, TrustedKeys
from lorb_adapters.store.store import Store
from lorb_adapters.store.version_files import (
    CONFIG,
    HEAD_WEIGHTS,
    LORA_WEIGHTS,
    MANIFEST,
    check_digests,
    parse_manifest,
)

if TYPE_CHECKING:  # torch and transformers take seconds to import, and files can be verified without them
    from lorb_adapters.base.loader import Base
    from lorb_adapters.lora.weights import AdapterWeights


def load_adapter(store: Store, domain: str, version: str, base: "Base", trusted: TrustedKeys | None = None) -> Adapter:
    """Reads and verifies one version; its weights are on the base's device, in the base's dtype.

    Each file is read once, so that the bytes that are hashed are the bytes that are parsed. The golden scores are not
    checked here, because they need the model: call `check_golden_scores` before the adapter serves.

    Args:
        store: the store.
        domain: the version's domain.
        version: a full version id.
        base: the base that the adapter is for.
        trusted: public keys, one of which must have signed the version; None also accepts an unsigned version.

    Raises:
        InvalidAdapter: a file is missing, unknown or changed; a field or tensor is missing or wrong; or `trusted` is
            given and none of its keys signed the version.
        ForeignBase: the version was trained for another base.
        UnknownDomain, UnknownVersion, StoreUnavailable: the version cannot be found or read.
    """
    manifest, files = read_verified_files(store, domain, version, trusted)
    _check_base(manifest, base)
    weights = _weights(manifest, files, base)
    if weights_digest(weights) != manifest.weights_digest:
        raise InvalidAdapter(
            f"{MANIFEST}: weights_digest {manifest.weights_digest[:12]} is not that of the weights in "
            f"{LORA_WEIGHTS} and {HEAD_WEIGHTS}",
            field="weights_digest",
        )
    return Adapter(manifest, weights.to(base.device, base.dtype))


def read_verified_files(
    store: Store, domain: str, version: str, trusted: TrustedKeys | None = None
) -> tuple[Manifest, Mapping[str, bytes]]:
    """Reads one version's files and checks them against its manifest. Needs no base.

    Returns (the manifest, the content of each file by name). Raises InvalidAdapter if a file's sha256 is not the one in
    the manifest, or if `trusted` is given and none of its keys signed the manifest.
    """
    files = store.read_files(domain, version)
    if trusted is not None:
        trusted.check(files[MANIFEST], files.get(SIGNATURE))
    manifest = parse_manifest(files[MANIFEST], domain, version)
    check_digests(files, manifest)
    return manifest, files


def _check_base(manifest: Manifest, base: "Base") -> None:
    if manifest.base_fingerprint != base.fingerprint:
        raise ForeignBase(
            f"{manifest.domain} {manifest.version} was made for base {manifest.base_name} "
            f"({manifest.base_fingerprint[:12]}), but the loaded base is {base.name} ({base.fingerprint[:12]})",
            field="base_fingerprint",
        )


def _weights(manifest: Manifest, files: Mapping[str, bytes], base: "Base") -> "AdapterWeights":
    from lorb_adapters.lora.weights import adapted_modules, weights_from_state_dict
    from lorb_adapters.tensor_files import read_tensors

    config = LoraConfig.from_peft_json(read_json(files[CONFIG], dict[str, Any], CONFIG, InvalidAdapter))
    modules = adapted_modules(base.encoder, config)
    if not modules:
        raise InvalidAdapter(
            f"{CONFIG}: the base has no layer named {', '.join(config.target_modules)}"
            + ("" if config.layers is None else f" among its layers {', '.join(map(str, config.layers))}"),
            field="target_modules",
        )
    lora, head = (read_tensors(files[name], name, InvalidAdapter) for name in (LORA_WEIGHTS, HEAD_WEIGHTS))
    return weights_from_state_dict(config, lora, manifest.head_kind, head, modules, base.hidden_size)
