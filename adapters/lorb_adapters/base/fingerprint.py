"""The fingerprint of a base, which ties adapters to it: a digest of everything that changes the base's output."""

import hashlib
import json

import numpy as np
from torch import nn
from transformers.configuration_utils import PretrainedConfig

from lorb_adapters.base.tokenizer_form import canonical_tokenizer

# Settings that change what the weights compute.
_FUNCTION_KEYS = ("model_type", "hidden_act", "layer_norm_eps", "num_attention_heads", "pad_token_id")


def base_fingerprint(encoder: nn.Module, config: PretrainedConfig, tokenizer: str) -> str:
    """Returns the sha256, in hex, of an encoder's weights, its settings and its tokenizer.

    encoder: on any device, in any dtype. Its weights are hashed in fp32, as they are loaded from a file. tokenizer: the
    tokenizer's JSON.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(encoder.state_dict().items()):
        tensor = (tensor.float() if tensor.is_floating_point() else tensor).cpu()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(np.ascontiguousarray(tensor.numpy()).data)
    settings = {key: getattr(config, key, None) for key in _FUNCTION_KEYS}
    digest.update(json.dumps(settings, sort_keys=True).encode())
    digest.update(canonical_tokenizer(tokenizer))
    return digest.hexdigest()
