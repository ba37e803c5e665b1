"""Writes a base folder that trainer and server load. The folder appears complete or not at all."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lorb.errors import InvalidInput

if TYPE_CHECKING:  # they import torch, which takes seconds; commands check their folders before that
    from transformers import PreTrainedTokenizerFast

    from lorb_adapters.base.loader import Base
    from lorb_adapters.lora.head import HeadWeights

_READ_WRITE = 0o666
# The special tokens of BERT's tokenizers and of RoBERTa's.
_SPECIAL_TOKENS = {
    "cls_token": ("[CLS]", "<s>"),
    "sep_token": ("[SEP]", "</s>"),
    "pad_token": ("[PAD]", "<pad>"),
    "unk_token": ("[UNK]", "<unk>"),
    "mask_token": ("[MASK]", "<mask>"),
}


def check_is_unused(folder: Path) -> None:
    """Raises InvalidInput if `folder` is a file or a folder with content."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(f"output-base {folder} exists and is not empty: name a new folder", field="output-base")


def check_can_be_created(folder: Path, field: str) -> None:
    """Raises InvalidInput if `folder` cannot be created or, where it exists, cannot be written to."""
    ancestor = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    if not ancestor.is_dir() or not os.access(ancestor, os.W_OK):
        raise InvalidInput(f"{field} {folder} cannot be created: {ancestor} is not a writable folder", field=field)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder to write files into, which becomes `folder` at the end and is removed on an error.

    Raises InvalidInput if `folder` exists and is not empty, or if the system refuses to write.
    """
    from safetensors import SafetensorError  # safetensors raises it if the disk is full

    check_is_unused(folder)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        mode = partial.stat().st_mode & _READ_WRITE  # the umask is already applied
        for file in partial.iterdir():
            file.chmod(mode)  # safetensors makes files readable by their owner only; a server may run as another user
        os.replace(partial, folder)
    except (OSError, SafetensorError) as error:
        raise InvalidInput(f"output-base {folder} cannot be written: {error}", field="output-base") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_base(folder: Path, base: "Base", head: "HeadWeights", texts: Mapping[str, str] | None = None) -> None:
    """Writes a new folder with three parts: `base`'s encoder with its current weights, its tokenizer, and `head`.

    texts: further files by name, such as the report of how the base was made.
    Raises InvalidInput if `folder` exists and is not empty, or if the system refuses to write.
    """
    from safetensors.torch import save_file
    from transformers.modeling_utils import PreTrainedModel
    from transformers.utils import logging as transformers_logging

    from lorb_adapters.base.head_files import HEAD_CONFIG_FILE, HEAD_TENSORS_FILE

    if not isinstance(base.encoder, PreTrainedModel):
        raise TypeError(f"the encoder is a {type(base.encoder).__name__}, not a model of transformers")
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    tensors = {"weight": head.weight.detach().cpu().contiguous(), "bias": head.bias.detach().cpu().contiguous()}
    with new_folder(folder) as partial:
        base.encoder.save_pretrained(partial)
        _tokenizer(base).save_pretrained(partial)
        save_file(tensors, partial / HEAD_TENSORS_FILE)
        (partial / HEAD_CONFIG_FILE).write_text(json.dumps({"kind": head.kind}), encoding="utf-8")
        for name, text in (texts or {}).items():
            (partial / name).write_text(text, encoding="utf-8")


def _tokenizer(base: "Base") -> "PreTrainedTokenizerFast":
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer.from_str(base.text_encoder.to_json()["tokenizer"])
    special_tokens = {
        role: name
        for role, names in _SPECIAL_TOKENS.items()
        for name in names
        if tokenizer.token_to_id(name) is not None
    }
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special_tokens)  # type: ignore[no-untyped-call]
