"""The frozen base: a BERT-family encoder, its tokenizer, and the fingerprint that adapters are tied to."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.configuration_utils import PretrainedConfig
from transformers.utils import logging as transformers_logging

from lorb.errors import BaseNotFound
from lorb_adapters.base.delta import BaseDelta
from lorb_adapters.base.fingerprint import base_fingerprint
from lorb_adapters.base.named import MINILM, RESCORE_MINILM, base_source
from lorb_adapters.encoder.packing import PACKED_ATTENTION
from lorb_adapters.lora.head import HEAD_KINDS, HeadWeights
from lorb_adapters.text import TextEncoder

# Families whose encoders take position and type ids and send their keywords on to the attention function.
_FAMILIES = ("bert", "roberta", "xlm-roberta", "camembert", "electra")
_ROBERTA_LIKE = ("roberta", "xlm-roberta", "camembert")  # positions count from padding_idx + 1
_WITHOUT_POOLER = ("electra",)  # in any case: it has no flag to leave it out
# Beside the encoder's own files: `{"kind": ...}` and the tensors `weight` and `bias`.
_HEAD_CONFIG, _HEAD_TENSORS = "lorb_head.json", "lorb_head.safetensors"


@dataclass(frozen=True, slots=True)
class Base:
    """A loaded base. Nothing ever writes into its weights.

    Attributes:
        name: as it was asked for.
        fingerprint: sha256 of weights, tokenizer and configuration, in hex; the same for every device and dtype.
        encoder: transformers' module, in evaluation mode, without gradients, with packed attention.
        text_encoder: its tokenizer.
        hidden_size: of the encoder's last layer.
        first_position: position id of a row's first token.
        device, dtype: of the weights.
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
class _Read:
    """What a base is before it is put to use: fp32, on the CPU."""

    encoder: nn.Module
    config: PretrainedConfig
    tokenizer: Tokenizer

    def fingerprint(self) -> str:
        return base_fingerprint(self.encoder, self.config, self.tokenizer.to_str())


def load_base(name_or_path: str = MINILM, *, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Base:
    """Loads a base from a folder, by one of LoRB's names ("minilm", "rescore-minilm"), or from a hub by its id.

    Raises BaseNotFound where files are missing, are not the pinned ones, or hold no BERT-family encoder.
    """
    read, fingerprint = _read(name_or_path)
    config = read.config
    first_position = config.pad_token_id + 1 if config.model_type in _ROBERTA_LIKE else 0
    return Base(
        name=name_or_path,
        fingerprint=fingerprint,
        encoder=read.encoder.to(device=device, dtype=dtype),
        text_encoder=TextEncoder(read.tokenizer, max_tokens=config.max_position_embeddings - first_position),
        hidden_size=config.hidden_size,
        first_position=first_position,
        device=torch.device(device),
        dtype=dtype,
        head=_load_head(Path(base_source(name_or_path))),
    )


def _read(name: str) -> tuple[_Read, str]:
    """A base and its fingerprint, for which all of its weights are hashed once."""
    read, delta = _read_weights(name)
    fingerprint = read.fingerprint()
    if delta is not None and fingerprint != delta.fingerprint:
        _check_parent(name, delta)
        raise BaseNotFound(f"base {name!r} is not what was written: its files were changed", field="base")
    return read, fingerprint


def _read_weights(name: str) -> tuple[_Read, BaseDelta | None]:
    """A base, and what made it of another, if it is such a one: whether it is the right one, its fingerprint says."""
    delta = BaseDelta.read(Path(base_source(name)))
    if delta is None:
        return _read_files(name), None
    read, _ = _read_weights(delta.parent)
    try:
        delta.add_to(read.encoder)
    except BaseNotFound:
        _check_parent(name, delta)
        raise
    return read, delta


def _check_parent(name: str, delta: BaseDelta) -> None:
    """Raises BaseNotFound where another base has the parent's name here."""
    _, fingerprint = _read(delta.parent)
    if fingerprint != delta.parent_fingerprint:
        raise BaseNotFound(
            f"base {name!r} is a change to {delta.parent!r} {delta.parent_fingerprint[:12]}, and {delta.parent!r} here "
            f"is {fingerprint[:12]}",
            field="base",
        )


def _read_files(name: str) -> _Read:
    source = base_source(name)
    try:
        config = AutoConfig.from_pretrained(source)
        _check_family(name, config)
        return _Read(_load_encoder(source, config), config, AutoTokenizer.from_pretrained(source).backend_tokenizer)
    except (OSError, ValueError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BaseNotFound(
            f"base {name!r} cannot be loaded: {reason}. Give a folder with a BERT-family encoder and its "
            f"tokenizer, a hub id, {MINILM!r} or {RESCORE_MINILM!r}",
            field="base",
        ) from error


def _load_encoder(source: str, config: PretrainedConfig) -> nn.Module:
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # an unused pooler or MLM head in the file is no news
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    without_pooler = {} if config.model_type in _WITHOUT_POOLER else {"add_pooling_layer": False}
    try:
        encoder: nn.Module = AutoModel.from_pretrained(
            source, dtype=torch.float32, attn_implementation=PACKED_ATTENTION, **without_pooler
        )
    finally:
        transformers_logging.set_verbosity(verbosity)
    return encoder.eval().requires_grad_(False)


def _check_family(name: str, config: PretrainedConfig) -> None:
    if config.model_type not in _FAMILIES:
        raise BaseNotFound(
            f"base {name!r} is a {config.model_type} model: LoRB serves {', '.join(_FAMILIES)} encoders",
            field="base",
        )


def _load_head(folder: Path) -> HeadWeights | None:
    config = folder / _HEAD_CONFIG
    if not config.is_file():
        return None
    from safetensors.torch import load_file

    kind = json.loads(config.read_text())["kind"]
    if kind not in HEAD_KINDS:
        raise BaseNotFound(f"{config}: kind {kind!r} is not one of {', '.join(HEAD_KINDS)}", field="base")
    tensors = load_file(folder / _HEAD_TENSORS)
    return HeadWeights(kind, tensors["weight"].float(), tensors["bias"].float())
