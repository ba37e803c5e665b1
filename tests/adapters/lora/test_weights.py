"""Adapter weights: adapted modules, initialisation, saving and loading."""

import math

import pytest
import torch
from transformers import BertConfig, BertModel

from lorb.errors import InvalidAdapter
from lorb_adapters.lora.config import LoraConfig
from lorb_adapters.lora.head import HeadWeights
from lorb_adapters.lora.weights import (
    adapted_modules,
    adapter_state_dict,
    initial_weights,
    linear_modules,
    weights_from_state_dict,
)


def head_tensors(weights):
    return {"weight": weights.head.weight, "bias": weights.head.bias}


def test_targets_select_by_the_last_part_of_the_path(encoder):
    """In each of two layers, `query` and `value` select two modules, and `dense` selects three."""
    assert len(linear_modules(encoder, ("query", "value"))) == 4
    assert len(linear_modules(encoder, ("dense",))) == 6


def test_a_fresh_adapter_has_uniform_a_and_zero_b(fresh):
    """A lies within Kaiming's bound and is not constant, and B is zero."""
    for a, b in fresh.lora.values():
        assert a.abs().max() <= 1 / math.sqrt(a.shape[1])
        assert a.std() > 0
        assert not b.any()


def test_parameters_are_counted_with_the_head(fresh):
    """The count is rank * (inputs + outputs) for each module, plus the head's weight and bias."""
    per_layer = 4 * 4 * (32 + 32) + 2 * 4 * (32 + 64)
    assert fresh.num_parameters == 2 * per_layer + 32 + 1


def test_state_dict_reads_back(encoder, fresh):
    """An adapter saved under peft's names reads back equal."""
    modules = linear_modules(encoder, fresh.config.target_modules)
    again = weights_from_state_dict(fresh.config, adapter_state_dict(fresh), "sum", head_tensors(fresh), modules, 32)
    assert all(torch.equal(again.lora[path][0], fresh.lora[path][0]) for path in modules)


def test_wrong_tensors_are_refused_by_key(encoder, fresh):
    """The error names a missing, foreign, misshapen or non-finite tensor."""
    modules = linear_modules(encoder, fresh.config.target_modules)
    good = adapter_state_dict(fresh)
    key = next(iter(good))
    broken = [
        ({k: v for k, v in good.items() if k != key}, "is missing"),
        (good | {"extra.weight": torch.zeros(1)}, "is not part of an adapter"),
        (good | {key: torch.zeros(3, 3)}, "has shape"),
        (good | {key: torch.full_like(good[key], math.nan)}, "not finite"),
        (good | {key: good[key].to(torch.int32)}, "not finite"),
    ]
    for tensors, reason in broken:
        with pytest.raises(InvalidAdapter, match=reason):
            weights_from_state_dict(fresh.config, tensors, "sum", head_tensors(fresh), modules, 32)
    wrong_head = {"weight": torch.zeros(31), "bias": torch.zeros(())}
    with pytest.raises(InvalidAdapter, match=r"head\.safetensors: weight"):
        weights_from_state_dict(fresh.config, good, "sum", wrong_head, modules, 32)


def test_an_adapter_of_some_modules_reads_back(encoder):
    """An adapter of one layer, or of one module per layer, loads with exactly these modules."""
    for config in (LoraConfig(rank=2, layers=(1,)), LoraConfig(rank=2, target_modules=("output.dense",))):
        modules = adapted_modules(encoder, config)
        weights = initial_weights(encoder, config, HeadWeights.zeros("sum", 32), torch.Generator().manual_seed(0))
        again = weights_from_state_dict(config, adapter_state_dict(weights), "sum", head_tensors(weights), modules, 32)
        assert set(again.lora) == set(modules)
        assert len(modules) == (6 if config.layers else 2)


def test_a_feed_forward_narrower_than_the_hidden_states_loads():
    """An adapter of a base whose feed-forward layers are narrower than its hidden states reads back equal."""
    sizes = {"hidden_size": 32, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    encoder, config = BertModel(BertConfig(vocab_size=10, **sizes), add_pooling_layer=False), LoraConfig(rank=2)
    weights = initial_weights(encoder, config, HeadWeights.zeros("sum", 32), torch.Generator().manual_seed(0))
    modules = adapted_modules(encoder, config)
    again = weights_from_state_dict(config, adapter_state_dict(weights), "sum", head_tensors(weights), modules, 32)
    assert again.head.weight.shape == (32,)
