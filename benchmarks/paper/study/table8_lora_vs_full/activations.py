"""Computes an encoder's hidden states and attention maps, layer by layer."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import AutoModel

from lorb_adapters.base.loader import Base
from lorb_adapters.text import EncodedHypothesis


@dataclass(frozen=True, slots=True)
class Activations:
    """Activations for the tokens of all hypotheses, without padding.

    Attributes:
        hidden: the embeddings' output and each layer's, [tokens, hidden].
        attention: for each layer and hypothesis, [heads, length, length]; each row is a distribution.
    """

    hidden: tuple[Tensor, ...]
    attention: tuple[tuple[Tensor, ...], ...]


def plain_encoder(base: Base) -> nn.Module:
    """A copy of a base's encoder with transformers' eager attention, which returns attention maps."""
    config = copy.deepcopy(base.encoder.config)  # from_config writes the attention implementation into it
    encoder: nn.Module = AutoModel.from_config(config, attn_implementation="eager", add_pooling_layer=False)  # type: ignore[no-untyped-call]
    encoder.load_state_dict(base.encoder.state_dict())
    return encoder.eval().requires_grad_(False)


def updated(encoder: nn.Module, updates: Mapping[str, Tensor]) -> nn.Module:
    """Adds updates, [out, in] by the path of their linear layer, to the weights of `encoder`, and returns it."""
    for path, update in updates.items():
        encoder.get_parameter(f"{path}.weight").data += update
    return encoder


@torch.inference_mode()
def activations(encoder: nn.Module, rows: Sequence[EncodedHypothesis]) -> Activations:
    """Runs one pass for each hypothesis, without padding. encoder: from `plain_encoder`."""
    hidden: list[list[Tensor]] = []
    attention: list[tuple[Tensor, ...]] = []
    for row in rows:
        output = encoder(
            input_ids=torch.tensor([row.token_ids]),
            token_type_ids=torch.tensor([row.type_ids]),
            output_hidden_states=True,
            output_attentions=True,
        )
        hidden.append([states[0] for states in output.hidden_states])
        attention.append(tuple(maps[0] for maps in output.attentions))
    return Activations(
        tuple(torch.cat(of_layer) for of_layer in zip(*hidden, strict=True)),
        tuple(zip(*attention, strict=True)),
    )
