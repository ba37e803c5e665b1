"""Loads the frozen base: an encoder, its tokenizer, its score head, and the fingerprint that adapters are tied to."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from lorb.errors import BaseNotFound
from lorb_adapters.base.delta import BaseDelta
from lorb_adapters.base.files import BaseFiles, read_files
from lorb_adapters.base.fingerprint import base_fingerprint
from lorb_adapters.base.head_files import read_head
from lorb_adapters.base.named import MINILM, base_source
from lorb_adapters.lora.head import HeadWeights
from lorb_adapters.text import TextEncoder

# A base may be a delta from a base that is a delta, and so on. Each needs a full pass over the weights.
_MAX_DELTAS = 8


@dataclass(frozen=True, slots=True)
class Base:
    """A loaded base. Serving never writes to its weights.

    Attributes:
        name: the name, folder or hub id that was asked for.
        fingerprint: sha256 of weights, tokenizer and configuration, in hex; the same for every device and dtype.
        encoder: transformers' module, in evaluation mode, without gradients.
        text_encoder: turns transcripts into tokens with the base's tokenizer.
        hidden_size: the size of the last layer's hidden states.
        first_position: the position id of a row's first token.
        device, dtype: the device and dtype of the weights.
        head: the base's own score head, or None where it has none.
    """

    name: str
    fingerprint: str
    encoder: nn.Module
    text_encoder: TextEncoder
    hidden_size: int
    first_position: int
    device: torch.device
    dtype: torch.dtype
    head: HeadWeights | None


def load_base(name_or_path: str = MINILM, *, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Base:
    """Loads a base from a folder, by one of LoRB's names ("minilm", "rescore-minilm"), or from a model hub by its id.

    Raises BaseNotFound if a file is missing or broken, if a pinned file was changed, or if LoRB does not serve the
    model.
    """
    source = base_source(name_or_path)
    files, fingerprint = _read(name_or_path, source)
    return Base(
        name=name_or_path,
        fingerprint=fingerprint,
        encoder=files.encoder.to(device=device, dtype=dtype),
        text_encoder=files.text_encoder,
        hidden_size=files.config.hidden_size,
        first_position=files.family.first_position(files.config),
        device=torch.device(device),
        dtype=dtype,
        head=read_head(source, files.config.hidden_size),
    )


def _read(name: str, source: str) -> tuple[BaseFiles, str]:
    """Returns the content and the fingerprint of the base `name`, whose files are at `source`.

    A delta states the fingerprint of its base. Raises BaseNotFound if the content has another fingerprint.
    """
    files, delta = _read_unverified(name, source)
    fingerprint = base_fingerprint(files.encoder, files.config, files.tokenizer.to_str())
    if delta is not None and fingerprint != delta.fingerprint:
        _check_parent(name, delta)
        raise BaseNotFound(
            f"base {name!r} has fingerprint {fingerprint[:12]}, not {delta.fingerprint[:12]}: its files were changed; "
            "restore them or write the base again",
            field="base",
        )
    return files, fingerprint


def _read_unverified(name: str, source: str, children: tuple[str, ...] = ()) -> tuple[BaseFiles, BaseDelta | None]:
    """Returns a base's content and, if it is stored as a delta, the delta. Does not check the fingerprint.

    children: the deltas that lead to this base, the one asked for first. Raises BaseNotFound if they form a circle.
    """
    delta = BaseDelta.read(Path(source))
    if delta is None:
        return read_files(name, source), None
    folder = str(Path(source).resolve())
    if folder in children or len(children) == _MAX_DELTAS:
        problem = "deltas that lead back to themselves" if folder in children else f"more than {_MAX_DELTAS} deltas"
        raise BaseNotFound(
            f"base {children[0]!r} is stored as {problem} ({' -> '.join([*children, folder])}): write it again from a "
            "whole base",
            field="base",
        )
    files, _ = _read_unverified(delta.parent, base_source(delta.parent), (*children, folder))
    try:
        delta.add_to(files.encoder)
    except BaseNotFound:
        _check_parent(name, delta)
        raise
    return files, delta


def _check_parent(name: str, delta: BaseDelta) -> None:
    """Raises BaseNotFound if the parent is not the base that the delta was made from."""
    _, fingerprint = _read(delta.parent, base_source(delta.parent))
    if fingerprint != delta.parent_fingerprint:
        raise BaseNotFound(
            f"base {name!r} is a difference from {delta.parent!r} with fingerprint {delta.parent_fingerprint[:12]}, "
            f"but {delta.parent!r} has {fingerprint[:12]}: restore the old {delta.parent!r}, or write the base again "
            "from the new one",
            field="base",
        )
