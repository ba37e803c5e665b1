"""A smaller base to begin with: the lowest layers of a deeper one.

The layers nearest to the words are kept, as the upper ones serve what the encoder was made for: of the ways to leave
layers out of a trained BERT, leaving out the top ones cost the least (Sajjad et al., arXiv 2004.03844).
"""

from dataclasses import replace

from torch import nn
from transformers.configuration_utils import PretrainedConfig

from lorb.errors import InvalidInput
from lorb_adapters.base.fingerprint import base_fingerprint
from lorb_adapters.base.loader import Base

_LAYERS = "encoder.layer"


def lowest_layers(base: Base, num_layers: int) -> Base:
    """`base`, which it takes over, without the layers above the lowest `num_layers`; a base of its own.

    Raises InvalidInput where it has no such layers.
    """
    config = base.encoder.config
    layers = _layers(base.encoder)
    if not isinstance(config, PretrainedConfig) or not 1 <= num_layers <= len(layers):
        raise InvalidInput(f"layers is {num_layers}: base {base.name!r} has {len(layers)} layers", field="layers")
    del layers[num_layers:]
    config.update({"num_hidden_layers": num_layers})
    tokenizer = base.text_encoder.to_json()["tokenizer"]
    fingerprint = base_fingerprint(base.encoder.to("cpu"), config, tokenizer)
    return replace(base, fingerprint=fingerprint, encoder=base.encoder.to(base.device))


def _layers(encoder: nn.Module) -> nn.ModuleList:
    """Empty where the encoder is no stack of layers."""
    try:
        layers = encoder.get_submodule(_LAYERS)
    except AttributeError:
        return nn.ModuleList()
    return layers if isinstance(layers, nn.ModuleList) else nn.ModuleList()
