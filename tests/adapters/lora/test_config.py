"""LoraConfig: scaling, and which of peft's settings are served or refused."""

import math
from dataclasses import fields

import pytest
from peft import LoraConfig as PeftConfig
from peft import get_peft_model
from transformers import AutoModel

from lorb.errors import InvalidAdapter
from lorb_adapters.lora.config import ATTENTION, FEED_FORWARD, LoraConfig
from lorb_adapters.lora.weights import adapted_modules

CONFIGS = [
    LoraConfig(),
    LoraConfig(2, 1.0, ("query",), True),
    LoraConfig(layers=(1,)),
    LoraConfig(target_modules=ATTENTION),
    LoraConfig(target_modules=FEED_FORWARD, layers=(0,)),
    LoraConfig(target_modules=("output.dense",)),
    LoraConfig(target_modules=("query", "attention.output.dense", "output.dense")),
]


def test_rank_stabilised_scaling():
    """Scaling is alpha / rank by default, alpha / sqrt(rank) with rslora."""
    assert LoraConfig(rank=16, alpha=32).scaling == 2
    assert LoraConfig(rank=16, alpha=32, use_rslora=True).scaling == 8


@pytest.mark.parametrize("config", CONFIGS)
def test_config_reads_back_from_pefts_json(config):
    """The JSON written for peft reads back as an equal configuration."""
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
        ("lora_alpha", 10**400),
        ("r", 10**400),
        ("use_rslora", "yes"),
        ("auto_mapping", {"parent_library": "evil"}),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_setting_that_is_not_served_is_refused_by_key(key, value):
    """A setting that changes the output in a way that LoRB does not compute is an error that names the key."""
    with pytest.raises(InvalidAdapter, match=key):
        LoraConfig.from_peft_json(LoraConfig().to_peft_json("minilm") | {key: value})


@pytest.mark.parametrize("config", CONFIGS)
def test_peft_adapts_the_same_modules(config, tiny_bert):
    """With our configuration, peft adapts exactly the modules that we adapt."""
    encoder = AutoModel.from_pretrained(tiny_bert, add_pooling_layer=True)
    modules = set(adapted_modules(encoder, config))
    settings = config.to_peft_json(str(tiny_bert))
    known = {field.name for field in fields(PeftConfig)}
    wrapped = get_peft_model(encoder, PeftConfig(**{k: v for k, v in settings.items() if k in known}))
    found = {
        name.removeprefix("base_model.model.").partition(".lora_")[0]
        for name, _ in wrapped.named_parameters()
        if ".lora_" in name
    }
    assert found == modules


def test_output_dense_of_peft_includes_the_attentions():
    """In peft "output.dense" matches two modules; the configuration that we read names both."""
    read = LoraConfig.from_peft_json(LoraConfig().to_peft_json("tiny") | {"target_modules": ["output.dense"]})
    assert read.target_modules == ("attention.output.dense", "output.dense")
