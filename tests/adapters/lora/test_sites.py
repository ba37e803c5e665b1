"""Sites: which layers an adapter covers, and how a fresh one begins."""

import math

import torch

from lorb_adapters.base.loader import load_base
from lorb_adapters.lora.head import HeadWeights
from lorb_adapters.lora.sites import fresh_weights, inject, lora_sites
from lorb_adapters.lora.weights import ALL_LINEAR, LoraConfig, base_only_weights
from lorb_adapters.model import RescoringModel
from lorb_adapters.text import TextNormalization

SEED = torch.Generator().manual_seed(0)


def test_sites_are_the_same_before_and_after_injection(tiny_bert):
    """A trainer that has injected and a loader that has not agree on what an adapter covers."""
    encoder = load_base(str(tiny_bert)).encoder
    before = lora_sites(encoder, ALL_LINEAR)
    inject(encoder)
    after = lora_sites(encoder, ALL_LINEAR)
    assert list(before) == list(after)
    assert len(before) == 2 * 6
    assert all(before[path] is after[path] for path in before)


def test_targets_select_by_the_last_part_of_the_path(encoder):
    """`query` and `value` are two sites a layer; `dense` is the three others."""
    assert len(lora_sites(encoder, ("query", "value"))) == 4
    assert len(lora_sites(encoder, ("dense",))) == 6


def test_a_fresh_adapter_has_uniform_a_and_zero_b(fresh):
    """A lies within Kaiming's bound and is not constant, B is zero, and the seed decides A."""
    for a, b in fresh.lora.values():
        assert a.abs().max() <= 1 / math.sqrt(a.shape[1])
        assert a.std() > 0
        assert not b.any()


def test_a_second_model_of_an_encoder_leaves_the_first_its_adapters(tiny_bert):
    """Two models that share an encoder both score with the adapter they were given."""
    base = load_base(str(tiny_bert))
    [row] = base.text_encoder.encode(["the old man"], "", TextNormalization(), uses_context=False)
    weights = fresh_weights(base.encoder, LoraConfig(), HeadWeights("sum", torch.arange(32.0), torch.zeros(())), SEED)
    for _, b in weights.lora.values():
        b.fill_(0.1)
    first = RescoringModel(base)
    before = first.score([row], [weights], [0])
    second = RescoringModel(base)
    assert torch.equal(second.score([row], [weights], [0]), before)
    assert torch.equal(first.score([row], [weights], [0]), before)
    assert not torch.equal(first.score([row], [base_only_weights(weights.head)], [0]), before)
