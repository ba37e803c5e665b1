"""LoRA: shapes, initial values, and what of peft's configuration is served or refused."""

import math
from dataclasses import fields

import pytest
import torch
from peft import LoraConfig as PeftConfig
from peft import get_peft_model
from transformers import AutoModel

from lorb.errors import InvalidAdapter
from lorb_adapters.lora.head import HeadWeights
from lorb_adapters.lora.sites import adapted_sites, fresh_weights, lora_sites
from lorb_adapters.lora.weights import ATTENTION, FEED_FORWARD, LoraConfig, adapter_state_dict, weights_from_state_dict


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


CONFIGS = [
    LoraConfig(),
    LoraConfig(2, 1.0, ("query",), True),
    LoraConfig(layers=(1,)),
    LoraConfig(target_modules=ATTENTION),
    LoraConfig(target_modules=FEED_FORWARD, layers=(0,)),
    LoraConfig(target_modules=("output.dense",)),
    LoraConfig(target_modules=("query", "attention.output.dense", "output.dense")),
]


@pytest.mark.parametrize("config", CONFIGS)
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
        ("exclude_modules", ["query"]),
        ("exclude_modules", []),
        ("layers_to_transform", ["1"]),
        ("layers_to_transform", [-1]),
        ("layers_pattern", "h"),
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


@pytest.mark.parametrize("config", CONFIGS)
def test_peft_adapts_the_same_layers(config, tiny_bert):
    """What peft makes of our configuration has matrices at exactly the sites that we give it."""
    encoder = AutoModel.from_pretrained(tiny_bert, add_pooling_layer=True)
    sites = set(adapted_sites(encoder, config))
    settings = config.to_peft_json(str(tiny_bert))
    known = {field.name for field in fields(PeftConfig)}
    wrapped = get_peft_model(encoder, PeftConfig(**{k: v for k, v in settings.items() if k in known}))
    found = {
        name.removeprefix("base_model.model.").partition(".lora_")[0]
        for name, _ in wrapped.named_parameters()
        if ".lora_" in name
    }
    assert found == sites


def test_output_dense_of_peft_is_the_attentions_too():
    """To peft "output.dense" alone is the end of two paths; we read it so, and name both."""
    read = LoraConfig.from_peft_json(LoraConfig().to_peft_json("tiny") | {"target_modules": ["output.dense"]})
    assert read.target_modules == ("attention.output.dense", "output.dense")


def test_an_adapter_of_one_layer_reads_back(encoder):
    """Its weights are put together from the sites of that layer alone, whatever their shapes."""
    for config in (LoraConfig(rank=2, layers=(1,)), LoraConfig(rank=2, target_modules=("output.dense",))):
        sites = adapted_sites(encoder, config)
        made = fresh_weights(encoder, config, HeadWeights.zeros("sum", 32), torch.Generator().manual_seed(0))
        again = weights_from_state_dict(config, adapter_state_dict(made), "sum", head_tensors(made), sites)
        assert set(again.lora) == set(sites)
        assert len(sites) == (6 if config.layers else 2)


def test_rank_stabilised_scaling():
    """Alpha / rank by default, alpha / sqrt(rank) with rslora."""
    assert LoraConfig(rank=16, alpha=32).scaling == 2
    assert LoraConfig(rank=16, alpha=32, use_rslora=True).scaling == 8
