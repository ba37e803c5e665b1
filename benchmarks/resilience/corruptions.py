"""Damages a published version on disk in five ways, each found by another check."""

import hashlib
import json
import math
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from lorb_adapters.store.store import Store

DOMAIN = "librispeech"


def corrupt(store: Store, version: str, how: str) -> None:
    """Damages a published version on disk so that only the intended check finds it. how: a key of CORRUPTIONS."""
    folder = Path(store.url) / DOMAIN / "versions" / version
    weights, manifest = folder / "adapter_model.safetensors", folder / "manifest.json"
    if how == "torn file":
        weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    elif how == "wrong digest":
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(bytes(content))
        renew_sha256(manifest, weights)
    elif how == "other base":
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"base_fingerprint": "0" * 64}))
    elif how == "NaN weights":
        tensors = load_file(weights)
        tensors[next(iter(tensors))][0, 0] = math.nan
        save_file(tensors, weights)
        renew_sha256(manifest, weights)
    elif how == "pickle":
        torch.save({"weight": torch.zeros(1)}, folder / "adapter_model.bin")


def renew_sha256(manifest: Path, file: Path) -> None:
    """Updates the file's digest in the manifest."""
    content = json.loads(manifest.read_text())
    content["file_sha256"][file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
    manifest.write_text(json.dumps(content))


# Part of the expected reason of refusal, by corruption.
CORRUPTIONS = {
    "torn file": "is truncated or changed",
    "wrong digest": "is not that of the weights",
    "other base": "was made for base",
    "NaN weights": "holds values that are not finite",
    "pickle": "'adapter_model.bin' does not belong in a version",
}
