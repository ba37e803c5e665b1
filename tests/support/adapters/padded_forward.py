"""The oracle of the encoder's tests: transformers' own forward on padded rows, with LoRA added by hooks.

Hidden states share no code with the packed encoder, and autograd differentiates them.
"""

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from lorb_adapters.base.loader import Base
from lorb_adapters.encoder.head_scores import pool, pooled_scores
from lorb_adapters.encoder.packing import pack
from lorb_adapters.encoder.segments import Segments
from lorb_adapters.lora.weights import AdapterWeights
from lorb_adapters.text import EncodedHypothesis


def padded_hidden_states(
    encoder: nn.Module, rows: Sequence[EncodedHypothesis], segments: Segments = (), *, first_position: int = 0
) -> Tensor:
    """Returns the last hidden states of the rows' tokens, end to end without padding, [tokens, hidden].

    segments: (first token, end, adapter) among these tokens.
    """
    longest = max(row.num_tokens for row in rows)

    def padded(values: Sequence[Sequence[int]]) -> Tensor:
        return torch.tensor([[*each, *[0] * (longest - len(each))] for each in values])

    is_token = padded([(1,) * row.num_tokens for row in rows]).bool()
    positions = [range(first_position, first_position + row.num_tokens) for row in rows]
    with ExitStack() as hooks:
        for path in {path for _, _, weights in segments for path in weights.lora}:
            hook = _lora_hook(path, segments, is_token)
            hooks.callback(encoder.get_submodule(path).register_forward_hook(hook).remove)
        hidden: Tensor = encoder(
            input_ids=padded([row.token_ids for row in rows]),
            token_type_ids=padded([row.type_ids for row in rows]),
            position_ids=padded(positions),
            attention_mask=is_token.long(),
        ).last_hidden_state
    return hidden[is_token]


def _lora_hook(path: str, segments: Segments, is_token: Tensor):
    """Adds scaling * B A x to the output of a linear module, for the tokens of each segment."""

    def hook(_module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        x = inputs[0][is_token]
        added = torch.zeros(len(x), output.shape[-1])
        for start, end, weights in segments:
            if path in weights.lora:
                a, b = weights.lora[path]
                tokens = torch.arange(start, end)
                added = added.index_add(0, tokens, weights.config.scaling * (x[start:end] @ a.T) @ b.T)
        return output + torch.zeros_like(output).index_put((is_token,), added)

    return hook


def padded_scores(base: Base, rows: Sequence[EncodedHypothesis], adapter: AdapterWeights) -> tuple[Tensor, Tensor]:
    """Returns the features that the adapter's head reads, [rows, hidden], and the rescoring scores, [rows]."""
    packed = pack(rows, first_position=base.first_position)
    segments = ((0, packed.num_tokens, adapter),)
    hidden = padded_hidden_states(base.encoder, rows, segments, first_position=base.first_position)
    features = pool(hidden, packed, adapter.head.kind)
    return features, pooled_scores(features, packed, adapter.head)
