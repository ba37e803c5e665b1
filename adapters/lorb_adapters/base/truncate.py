"""Truncates a base to its lowest layers.

Of the ways to drop layers of a trained BERT, dropping the top layers costs the least accuracy: the top layers are the
most specific to pretraining (Sajjad et al., arXiv 2004.03844).
"""

from dataclasses import replace

from torch import nn
from transformers.configuration_utils import PretrainedConfig

from lorb.errors import InvalidInput
from lorb_adapters.base.fingerprint import base_fingerprint
from lorb_adapters.base.loader import Base

_LAYERS = "encoder.layer"


def truncate_base(base: Base, num_layers: int) -> Base:
    """Removes all but the lowest `num_layers` layers from `base`'s encoder. Returns it with its new fingerprint.

    Raises InvalidInput if the base has fewer layers, or `num_layers` is below 1.
    """
    config = base.encoder.config
    layers = _layers(base.encoder)
    if not isinstance(config, PretrainedConfig) or not 1 <= num_layers <= len(layers):
        raise InvalidInput(f"layers is {num_layers}: base {base.name!r} has {len(layers)} layers", field="layers")
    del layers[num_layers:]
    config.update({"num_hidden_layers": num_layers})
    tokenizer = base.text_encoder.to_json()["tokenizer"]
    return replace(base, fingerprint=base_fingerprint(base.encoder, config, tokenizer))


def _layers(encoder: nn.Module) -> nn.ModuleList:
    """Returns the encoder's list of layers; an empty list if it has none."""
    try:
        layers = encoder.get_submodule(_LAYERS)
    except AttributeError:
        return nn.ModuleList()
    return layers if isinstance(layers, nn.ModuleList) else nn.ModuleList()
