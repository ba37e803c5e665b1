"""The model families that LoRB serves as bases, and how their encoders differ.

To support another family, add it to `FAMILIES` and its layers to `lorb_adapters.encoder`. DistilBERT, for example,
names its modules differently and has no token types.
"""

from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers.configuration_utils import PretrainedConfig

from lorb.errors import BaseNotFound
from lorb_adapters.encoder.packed_encoder import PackedEncoder


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
