"""Versions in a store that no server may load: truncated, changed, for another base, non-finite or pickled."""

import hashlib
import json
import pickle
from dataclasses import replace
from pathlib import Path

import torch

from lorb_adapters.lora.head import HeadWeights
from lorb_adapters.store.adapter import weights_digest
from lorb_adapters.store.version_files import HEAD_WEIGHTS, LORA_WEIGHTS, MANIFEST, render_version
from support.adapters.publications import make_publication


def _write_version(store, publication, change):
    """Writes a version whose files `change` has edited into the store's folder; returns its id."""
    number = 1 + max(int(known.partition("-")[0]) for known in store.versions(publication.domain))
    version = f"{number}-{weights_digest(publication.weights)[:12]}"
    files = dict(render_version(publication, version, "2026-01-01T00:00:00+00:00"))
    change(files)
    folder = Path(store.url) / publication.domain / "versions" / version
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return version


def _replace_file(files, name, content):
    """Replaces a file and its digest in the manifest."""
    files[name] = content
    manifest = json.loads(files[MANIFEST])
    manifest["file_sha256"][name] = hashlib.sha256(content).hexdigest()
    files[MANIFEST] = json.dumps(manifest).encode()


def _truncate(files):
    files[LORA_WEIGHTS] = files[LORA_WEIGHTS][: len(files[LORA_WEIGHTS]) // 2]


def _flip_a_bit(files):
    files[HEAD_WEIGHTS] = files[HEAD_WEIGHTS][:-1] + bytes([files[HEAD_WEIGHTS][-1] ^ 1])


def _unchanged(files):
    """Leaves the files as they are, because the fault is in their content."""


def _pickle_weights(files):
    _replace_file(files, LORA_WEIGHTS, pickle.dumps({"lora": [1.0, 2.0]}))


def write_forged_versions(store, base):
    """Writes five versions of `voice` that must never serve; returns (version, word of the expected reason) pairs."""
    good = make_publication(base, "voice", seed=1000)
    nan_head = HeadWeights("sum", torch.full((base.hidden_size,), float("nan")), torch.zeros(()))
    nan = replace(good, weights=replace(good.weights, head=nan_head), golden_lists=())
    foreign = replace(make_publication(base, "voice", seed=1001), base_fingerprint="f" * 64)
    return [
        (_write_version(store, good, _truncate), LORA_WEIGHTS),
        (_write_version(store, make_publication(base, "voice", seed=1002), _flip_a_bit), HEAD_WEIGHTS),
        (_write_version(store, foreign, _unchanged), "base"),
        (_write_version(store, nan, _unchanged), "finite"),
        (_write_version(store, make_publication(base, "voice", seed=1003), _pickle_weights), LORA_WEIGHTS),
    ]
