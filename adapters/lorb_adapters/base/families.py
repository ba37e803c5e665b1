"""The model families that LoRB serves as bases, and how their encoders differ.

To support another family, add it to `FAMILIES` and its layers to `lorb_adapters.encoder`. DistilBERT, for example,
names its modules differently and has no token types.
"""

import math
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers.configuration_utils import PretrainedConfig

from lorb.errors import BaseNotFound
from lorb_adapters.encoder.packed_encoder import PackedEncoder

# Bounds far above those of any encoder: a hostile number of layers would take for ever.
_LARGEST_SIZES = {
    "num_hidden_layers": 1000,
    **dict.fromkeys(
        ("hidden_size", "embedding_size", "intermediate_size", "num_attention_heads", "vocab_size",
         "max_position_embeddings", "type_vocab_size"),
        2**24,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Family:
    """A family of encoders, as transformers implements it.

    Attributes:
        model_type: the family's name in `config.json`.
        positions_follow_padding: whether position ids count from pad_token_id + 1 instead of 0.
        has_pooler_option: whether the encoder's class takes `add_pooling_layer`. A class without it has no pooler.
    """

    model_type: str
    positions_follow_padding: bool = False
    has_pooler_option: bool = True

    def first_position(self, config: PretrainedConfig) -> int:
        """Returns the position id of a row's first token."""
        return config.pad_token_id + 1 if self.positions_follow_padding else 0

    @property
    def model_options(self) -> dict[str, Any]:
        """Keyword arguments that make transformers load the encoder without a pooler."""
        return {"add_pooling_layer": False} if self.has_pooler_option else {}


FAMILIES = {
    family.model_type: family
    for family in (
        Family("bert"),
        Family("roberta", positions_follow_padding=True),
        Family("xlm-roberta", positions_follow_padding=True),
        Family("camembert", positions_follow_padding=True),
        Family("electra", has_pooler_option=False),
    )
}


def family_of(base_name: str, config: PretrainedConfig) -> Family:
    """Returns the family of a configuration. Raises BaseNotFound for a family that LoRB does not serve."""
    family = FAMILIES.get(config.model_type)
    if family is None:
        raise BaseNotFound(
            f"base {base_name!r} is a {config.model_type} model: LoRB serves {', '.join(FAMILIES)} encoders",
            field="base",
        )
    return family


def check_settings(base_name: str, config: PretrainedConfig) -> None:
    """Raises BaseNotFound for a setting that no encoder has, before an encoder is built with it."""
    for key, largest in _LARGEST_SIZES.items():
        size = getattr(config, key, 1)
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= largest:
            raise BaseNotFound(
                f"base {base_name!r}: config.json: {key} is {str(size)[:80]}, not a whole number from 0 to {largest}",
                field="base",
            )
    epsilon = getattr(config, "layer_norm_eps", 0.0)
    if not 0 <= epsilon < math.inf:
        raise BaseNotFound(
            f"base {base_name!r}: config.json: layer_norm_eps is {epsilon}, not a number from 0", field="base"
        )


def check_architecture(base_name: str, encoder: nn.Module, config: PretrainedConfig) -> None:
    """Raises BaseNotFound if LoRB does not compute this encoder's architecture."""
    positions = getattr(config, "position_embedding_type", None) or "absolute"
    if positions == "absolute" and PackedEncoder.supports(encoder):
        return
    raise BaseNotFound(
        f"base {base_name!r} is a {config.model_type} model with is_decoder={getattr(config, 'is_decoder', False)}, "
        f"{config.num_hidden_layers} layers and {positions} position embeddings, which LoRB does not serve: it serves "
        f"{', '.join(FAMILIES)} encoders of one or more post-LayerNorm layers with biases, without cross-attention, "
        "with absolute position embeddings",
        field="base",
    )
