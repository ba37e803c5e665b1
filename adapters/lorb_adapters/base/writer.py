"""Writes what full fine-tuning made: a base folder that trainer and server load."""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import logging as transformers_logging

from lorb_adapters.base.loader import Base
from lorb_adapters.base.new_folder import new_folder
from lorb_adapters.lora.head import HeadWeights

# What BERT's tokenizers and RoBERTa's call them.
_SPECIAL_TOKENS = {
    "cls_token": ("[CLS]", "<s>"),
    "sep_token": ("[SEP]", "</s>"),
    "pad_token": ("[PAD]", "<pad>"),
    "unk_token": ("[UNK]", "<unk>"),
    "mask_token": ("[MASK]", "<mask>"),
}


def write_base(folder: Path, base: Base, head: HeadWeights, texts: Mapping[str, str] | None = None) -> None:
    """Writes `base`'s encoder as it is now, its tokenizer and `head`: the folder is there whole or not at all.

    texts: files to put beside them, by name: what the base was made from.
    """
    if not isinstance(base.encoder, PreTrainedModel):
        raise TypeError("the encoder is no model of transformers")
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    tensors = {"weight": head.weight.detach().cpu().contiguous(), "bias": head.bias.detach().cpu().contiguous()}
    with new_folder(folder) as partial:
        base.encoder.save_pretrained(partial)
        _tokenizer(base).save_pretrained(partial)
        save_file(tensors, partial / "lorb_head.safetensors")
        (partial / "lorb_head.json").write_text(json.dumps({"kind": head.kind}), encoding="utf-8")
        for name, text in (texts or {}).items():
            (partial / name).write_text(text, encoding="utf-8")


def _tokenizer(base: Base) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer.from_str(base.text_encoder.to_json()["tokenizer"])
    special = {
        role: name
        for role, names in _SPECIAL_TOKENS.items()
        for name in names
        if tokenizer.token_to_id(name) is not None
    }
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)  # type: ignore[no-untyped-call]
