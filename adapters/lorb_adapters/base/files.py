"""Reads a base's encoder, configuration and tokenizer with transformers. Runs no code that a base brings along."""

import logging
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.configuration_utils import PretrainedConfig
from transformers.utils import logging as transformers_logging

from lorb.errors import BaseNotFound
from lorb_adapters.base.families import Family, check_architecture, check_settings, family_of
from lorb_adapters.base.named import MINILM, RESCORE_MINILM
from lorb_adapters.text import TextEncoder

# Reasons in place of transformers' messages that contain these words.
_REASONS = {
    "trust_remote_code": "it needs code of its own (auto_map in its configuration), which LoRB never runs",
    "ignore_mismatched_sizes": "the sizes in config.json are not the sizes of the weights",
    "named model.safetensors": "it has no model.safetensors (weights in a pickle, such as pytorch_model.bin, could run "
    "code and are not read: convert them)",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BaseFiles:
    """The content of a base's files: fp32, on the CPU.

    Attributes:
        encoder: transformers' module, in evaluation mode, without gradients.
        config: transformers' configuration of the encoder.
        family: the encoder's family.
        tokenizer: the tokenizer as its files describe it.
        text_encoder: turns transcripts into tokens with this tokenizer.
    """

    encoder: nn.Module
    config: PretrainedConfig
    family: Family
    tokenizer: Tokenizer
    text_encoder: TextEncoder


def read_files(name: str, source: str) -> BaseFiles:
    """Reads the base `name` from `source`, a folder or the id of a model hub.

    Raises BaseNotFound if a file is missing or broken, or if LoRB does not serve the model.
    """
    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
        family = family_of(name, config)
        check_settings(name, config)
        encoder = _load_encoder(name, source, family)
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False).backend_tokenizer
        num_tokens = tokenizer.get_vocab_size(with_added_tokens=False)
        if num_tokens > config.vocab_size:
            raise ValueError(f"the tokenizer has {num_tokens} tokens, and the encoder knows {config.vocab_size}")
        max_tokens = config.max_position_embeddings - family.first_position(config)
        text_encoder = TextEncoder(tokenizer, max_tokens=max_tokens)
    except BaseNotFound:
        raise
    except Exception as error:  # transformers and tokenizers raise errors of any type for a broken file
        raise BaseNotFound(
            f"base {name!r} cannot be loaded: {_reason(error)}. Give a folder with a BERT-family encoder and its "
            f"tokenizer, a hub id, {MINILM!r} or {RESCORE_MINILM!r}",
            field="base",
        ) from error
    check_architecture(name, encoder, config)
    if getattr(config, "auto_map", None):
        _log.warning(
            "base %s names code of its own (auto_map), which is never run: the encoder is computed as %s",
            name, config.model_type,
        )  # fmt: skip
    return BaseFiles(encoder, config, family, tokenizer, text_encoder)


def _load_encoder(name: str, source: str, family: Family) -> nn.Module:
    verbosity = transformers_logging.get_verbosity()
    # transformers would warn of a pooler or masked-LM head in the file, which LoRB does not use
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        encoder, loading = AutoModel.from_pretrained(
            source,
            dtype=torch.float32,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            **family.model_options,
        )
    finally:
        transformers_logging.set_verbosity(verbosity)
    if loading["missing_keys"]:  # transformers would give them random values
        raise BaseNotFound(
            f"base {name!r} cannot be loaded: its files lack {len(loading['missing_keys'])} weights, such as "
            f"{min(loading['missing_keys'])}",
            field="base",
        )
    module: nn.Module = encoder.eval().requires_grad_(False)
    for key, tensor in module.state_dict().items():
        if not bool(tensor.isfinite().all()):
            raise BaseNotFound(f"base {name!r}: {key} holds values that are not finite", field="base")
    return module


def _reason(error: Exception) -> str:
    """Returns what went wrong as one line."""
    text = str(error)
    for part, reason in _REASONS.items():
        if part in text:
            return reason
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no reason was given"]
    reason = f"{lines[0]} {lines[1]}" if lines[0].endswith(":") and len(lines) > 1 else lines[0]
    reason = reason[:500].rstrip(".")
    return reason if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {reason}"
