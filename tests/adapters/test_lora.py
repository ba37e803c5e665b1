"""LoRA: shapes, initial values, and what of peft's configuration is served or refused."""

import math

import pytest
import torch

from lorb.errors import InvalidAdapter
from lorb_adapters.lora import LoraConfig, adapter_state_dict, weights_from_state_dict
from lorb_adapters.sites import lora_sites


def head_tensors(weights):
    return {"weight": weights.head.weight, "bias": weights.head.bias}


def test_parameters_are_counted_with_the_head(fresh):
    """The report's count is rank * (in + out) for each site, plus the head's weight and bias."""
    per_layer = 4 * 4 * (32 + 32) + 2 * 4 * (32 + 64)
    assert fresh.num_parameters == 2 * per_layer + 32 + 1


def test_state_dict_reads_back(encoder, fresh):
    """Saved under peft's names, an adapter is put together again as it was."""
    sites = lora_sites(encoder, fresh.config.target_modules)
    again = weights_from_state_dict(fresh.config, adapter_state_dict(fresh), "sum", head_tensors(fresh), sites)
    assert all(torch.equal(again.lora[site][0], fresh.lora[site][0]) for site in sites)


def test_wrong_tensors_are_refused_by_key(encoder, fresh):
    """A missing, foreign, misshapen or non-finite tensor is named."""
    sites = lora_sites(encoder, fresh.config.target_modules)
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
            weights_from_state_dict(fresh.config, tensors, "sum", head_tensors(fresh), sites)
    with pytest.raises(InvalidAdapter, match=r"head\.safetensors: weight"):
        weights_from_state_dict(fresh.config, good, "sum", {"weight": torch.zeros(31), "bias": torch.zeros(())}, sites)


@pytest.mark.parametrize("config", [LoraConfig(), LoraConfig(2, 1.0, ("query",), True)])
def test_config_reads_back_from_pefts_json(config):
    """What we write for peft we read again."""
    assert LoraConfig.from_peft_json(config.to_peft_json("minilm")) == config


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("peft_type", "LOHA"),
        ("bias", "all"),
        ("modules_to_save", ["classifier"]),
        ("use_dora", True),
        ("rank_pattern", {"query": 2}),
        ("target_modules", ".*query"),
        ("target_modules", ["query", "pooler"]),
        ("target_modules", []),
        ("r", 0),
        ("r", True),
        ("lora_alpha", -1),
        ("lora_alpha", math.inf),
        ("use_rslora", "yes"),
        ("auto_mapping", {"parent_library": "evil"}),
    ],
)
def test_what_cannot_be_served_is_refused_by_key(key, value):
    """A setting that changes the function in a way we do not compute is an error, never ignored."""
    with pytest.raises(InvalidAdapter, match=key):
        LoraConfig.from_peft_json(LoraConfig().to_peft_json("minilm") | {key: value})


def test_rank_stabilised_scaling():
    """Alpha / rank by default, alpha / sqrt(rank) with rslora."""
    assert LoraConfig(rank=16, alpha=32).scaling == 2
    assert LoraConfig(rank=16, alpha=32, use_rslora=True).scaling == 8
