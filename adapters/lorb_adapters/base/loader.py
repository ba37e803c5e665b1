"""Loads the frozen base: an encoder, its tokenizer, its score head, and the fingerprint that adapters are tied to."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.configuration_utils import PretrainedConfig
from transformers.utils import logging as transformers_logging

from lorb.errors import BaseNotFound
from lorb_adapters.base.delta import BaseDelta
from lorb_adapters.base.families import Family, check_architecture, family_of
from lorb_adapters.base.fingerprint import base_fingerprint
from lorb_adapters.base.named import MINILM, RESCORE_MINILM, base_source
from lorb_adapters.lora.head import HEAD_KINDS, HeadWeights
from lorb_adapters.text import TextEncoder

# The files of the base's score head, beside the encoder's files. The first holds `{"kind": KIND}`, the second holds the
# tensors `weight` and `bias`.
HEAD_CONFIG_FILE, HEAD_TENSORS_FILE = "lorb_head.json", "lorb_head.safetensors"


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


@dataclass(frozen=True, slots=True)
class _Files:
    """The content of a base's files: fp32, on the CPU."""

    encoder: nn.Module
    config: PretrainedConfig
    family: Family
    tokenizer: Tokenizer

    def fingerprint(self) -> str:
        return base_fingerprint(self.encoder, self.config, self.tokenizer.to_str())


def load_base(name_or_path: str = MINILM, *, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Base:
    """Loads a base from a folder, by one of LoRB's names ("minilm", "rescore-minilm"), or from a model hub by its id.

    Raises BaseNotFound if a file is missing, if a pinned file was changed, or if LoRB does not serve the model.
    """
    files, fingerprint = _read(name_or_path)
    first_position = files.family.first_position(files.config)
    return Base(
        name=name_or_path,
        fingerprint=fingerprint,
        encoder=files.encoder.to(device=device, dtype=dtype),
        text_encoder=TextEncoder(files.tokenizer, max_tokens=files.config.max_position_embeddings - first_position),
        hidden_size=files.config.hidden_size,
        first_position=first_position,
        device=torch.device(device),
        dtype=dtype,
        head=_load_head(Path(base_source(name_or_path))),
    )


def _read(name: str) -> tuple[_Files, str]:
    """Returns a base's content and fingerprint.

    A delta states the fingerprint of its base. Raises BaseNotFound if the content has another fingerprint.
    """
    files, delta = _read_unverified(name)
    fingerprint = files.fingerprint()
    if delta is not None and fingerprint != delta.fingerprint:
        _check_parent(name, delta)
        raise BaseNotFound(
            f"base {name!r} has fingerprint {fingerprint[:12]}, not {delta.fingerprint[:12]}: its files were changed; "
            "restore them or write the base again",
            field="base",
        )
    return files, fingerprint


def _read_unverified(name: str) -> tuple[_Files, BaseDelta | None]:
    """Returns a base's content and, if it is stored as a delta, the delta. Does not check the fingerprint."""
    delta = BaseDelta.read(Path(base_source(name)))
    if delta is None:
        return _read_files(name), None
    files, _ = _read_unverified(delta.parent)
    try:
        delta.add_to(files.encoder)
    except BaseNotFound:
        _check_parent(name, delta)
        raise
    return files, delta


def _check_parent(name: str, delta: BaseDelta) -> None:
    """Raises BaseNotFound if the parent is not the base that the delta was made from."""
    _, fingerprint = _read(delta.parent)
    if fingerprint != delta.parent_fingerprint:
        raise BaseNotFound(
            f"base {name!r} is a difference from {delta.parent!r} with fingerprint {delta.parent_fingerprint[:12]}, "
            f"but {delta.parent!r} has {fingerprint[:12]}: restore the old {delta.parent!r}, or write the base again "
            "from the new one",
            field="base",
        )


def _read_files(name: str) -> _Files:
    source = base_source(name)
    try:
        config = AutoConfig.from_pretrained(source)
        family = family_of(name, config)
        encoder = _load_encoder(source, family)
        tokenizer = AutoTokenizer.from_pretrained(source).backend_tokenizer
    except (OSError, ValueError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BaseNotFound(
            f"base {name!r} cannot be loaded: {reason}. Give a folder with a BERT-family encoder and its "
            f"tokenizer, a hub id, {MINILM!r} or {RESCORE_MINILM!r}",
            field="base",
        ) from error
    check_architecture(name, encoder, config)
    return _Files(encoder, config, family, tokenizer)


def _load_encoder(source: str, family: Family) -> nn.Module:
    verbosity = transformers_logging.get_verbosity()
    # transformers would warn of a pooler or masked-LM head in the file, which LoRB does not use
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        encoder: nn.Module = AutoModel.from_pretrained(source, dtype=torch.float32, **family.model_options)
    finally:
        transformers_logging.set_verbosity(verbosity)
    return encoder.eval().requires_grad_(False)


def _load_head(folder: Path) -> HeadWeights | None:
    config = folder / HEAD_CONFIG_FILE
    if not config.is_file():
        return None
    kind = json.loads(config.read_text())["kind"]
    if kind not in HEAD_KINDS:
        raise BaseNotFound(f"{config}: kind {kind!r} is not one of {', '.join(HEAD_KINDS)}", field="base")
    tensors = load_file(folder / HEAD_TENSORS_FILE)
    return HeadWeights(kind, tensors["weight"].float(), tensors["bias"].float())
