"""The packed encoder: equal to transformers' own padded forward for every family, adapter and order of batches."""

import gc

import pytest
import torch
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
    ElectraConfig,
    ElectraModel,
    RobertaPreLayerNormConfig,
    RobertaPreLayerNormModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from lorb_adapters.encoder import onednn
from lorb_adapters.encoder.packed_encoder import PackedEncoder, default_compute_dtype
from lorb_adapters.encoder.packing import pack
from lorb_adapters.text import EncodedHypothesis
from support.adapters.padded_forward import padded_hidden_states
from support.adapters.random_adapters import random_adapter

SIZES = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 600,
}
MIXED_LENGTHS = (7, 1, 12, 7, 3, 1, 12, 30)


def rows_of(lengths, seed: int = 0):
    """Rows of random tokens with these lengths."""
    generator = torch.Generator().manual_seed(seed)
    return [
        EncodedHypothesis(
            tuple(torch.randint(5, 110, (n,), generator=generator).tolist()), (0,) * n, scored_from=0, truncated=False
        )
        for n in lengths
    ]


def tiny(model_class, config_class, **options):
    """A random encoder, as `load_base` loads one."""
    torch.manual_seed(0)
    config = config_class(**SIZES, **options)
    positional = {} if model_class is ElectraModel else {"add_pooling_layer": False}
    return model_class(config, **positional).eval().requires_grad_(False)


@pytest.fixture(scope="module", params=["bert", "relu", "xlm-roberta", "electra", "electra, narrow embeddings"])
def encoder(request):
    """An encoder of each supported shape."""
    encoders = {
        "bert": lambda: tiny(BertModel, BertConfig),
        "relu": lambda: tiny(BertModel, BertConfig, hidden_act="relu"),
        "xlm-roberta": lambda: tiny(XLMRobertaModel, XLMRobertaConfig, type_vocab_size=1),
        "electra": lambda: tiny(ElectraModel, ElectraConfig, embedding_size=32),
        "electra, narrow embeddings": lambda: tiny(ElectraModel, ElectraConfig, embedding_size=16),
    }
    return encoders[request.param]()


class EncoderOnlyBase:
    """The attributes of a base that `random_adapter` reads."""

    hidden_size = 32

    def __init__(self, encoder):
        self.encoder = encoder


def thirds(packed, adapters):
    """Segments over the first and the last third of the tokens; the middle third has no adapter."""
    third = packed.num_tokens // 3
    return ((0, third, adapters[0]), (2 * third, packed.num_tokens, adapters[1]))


@pytest.mark.parametrize("by_onednn", [True, False])
def test_hidden_states_are_those_of_transformers(encoder, monkeypatch, by_onednn):
    """Hidden states agree to 1e-5 without an adapter, with one, and with two of different ranks and targets.

    They do with oneDNN's products, and with torch's own where oneDNN is missing.
    """
    assert PackedEncoder.supports(encoder)
    monkeypatch.setattr(onednn, "supports", lambda device, dtype: by_onednn)
    ours = PackedEncoder(encoder)
    rows = rows_of(MIXED_LENGTHS)
    packed = pack(rows, first_position=2)
    one = random_adapter(EncoderOnlyBase(encoder), 0)
    other = random_adapter(EncoderOnlyBase(encoder), 1, targets=("query", "value"), rank=3)
    for segments in ((), ((0, packed.num_tokens, one),), thirds(packed, [one, other])):
        expected = padded_hidden_states(encoder, rows, segments, first_position=2)
        torch.testing.assert_close(ours.forward(packed, segments), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "targets",
    [
        ("query",), ("key",), ("value",), ("query", "key"), ("query", "value"), ("key", "value"), ("dense",),
        ("query", "key", "value"), ("key", "dense"),
    ],
)  # fmt: skip
def test_every_choice_of_targets_reaches_its_own_outputs(targets):
    """An adapter of some of query, key and value adds to their outputs and to no others."""
    encoder = tiny(BertModel, BertConfig)
    rows = rows_of(MIXED_LENGTHS)
    packed = pack(rows)
    segments = ((0, packed.num_tokens, random_adapter(EncoderOnlyBase(encoder), 2, targets=targets)),)
    with_adapter = PackedEncoder(encoder).forward(packed, segments)
    torch.testing.assert_close(with_adapter, padded_hidden_states(encoder, rows, segments), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(with_adapter, padded_hidden_states(encoder, rows), atol=1e-3)


def test_long_rows_are_attended_in_parts():
    """Rows whose attention scores do not fit one batched product give transformers' hidden states."""
    encoder = tiny(BertModel, BertConfig)
    rows = rows_of((590, 590, 1))
    hidden = PackedEncoder(encoder).forward(pack(rows), ())
    torch.testing.assert_close(hidden, padded_hidden_states(encoder, rows), rtol=1e-5, atol=1e-5)


def test_a_batch_does_not_change_the_next():
    """Batches of changing sizes and adapters give the same hidden states as a new encoder."""
    encoder = tiny(BertModel, BertConfig)
    adapters = [random_adapter(EncoderOnlyBase(encoder), 3), random_adapter(EncoderOnlyBase(encoder), 4, rank=2)]
    used = PackedEncoder(encoder)
    results = []
    for lengths in (MIXED_LENGTHS, (1,), (40, 40, 2), (5, 6), MIXED_LENGTHS):
        packed = pack(rows_of(lengths))
        segments = thirds(packed, adapters) if len(lengths) != 2 else ()
        hidden = used.forward(packed, segments)
        results.append((hidden, hidden.clone()))
        assert torch.equal(hidden, PackedEncoder(encoder).forward(packed, segments))
    assert all(torch.equal(hidden, copy) for hidden, copy in results)  # results are not views of the buffers


def test_nan_stays_in_its_own_rows():
    """Rows of an adapter with NaN change neither the rows beside them nor the next batch."""
    encoder = tiny(BertModel, BertConfig)
    good, bad = random_adapter(EncoderOnlyBase(encoder), 5), random_adapter(EncoderOnlyBase(encoder), 6)
    for a, _ in bad.lora.values():
        a.fill_(float("nan"))
    packed = pack(rows_of((7, 7, 7, 7)))
    ours = PackedEncoder(encoder)
    alone = ours.forward(packed, ((0, 28, good),))
    mixed = ours.forward(packed, ((0, 14, good), (14, 28, bad)))
    assert torch.equal(mixed[:14], alone[:14])
    assert mixed[14:].isnan().all()
    assert torch.equal(ours.forward(packed, ((0, 28, good),)), alone)


def test_weights_in_training_are_read_anew():
    """A change to an adapter between two batches applies to the second."""
    encoder = tiny(BertModel, BertConfig)
    adapter = random_adapter(EncoderOnlyBase(encoder), 7)
    for tensor in adapter.tensors():
        tensor.requires_grad_(True)
    ours = PackedEncoder(encoder)
    rows = rows_of(MIXED_LENGTHS)
    packed = pack(rows)
    segments = ((0, packed.num_tokens, adapter),)
    before = ours.forward(packed, segments)
    with torch.no_grad():
        for tensor in adapter.tensors():
            tensor.mul_(0.5)
    after = ours.forward(packed, segments)
    assert not torch.allclose(before, after, atol=1e-3)
    torch.testing.assert_close(after, padded_hidden_states(encoder, rows, segments), rtol=1e-5, atol=1e-5)


def test_serving_keeps_no_adapter_alive():
    """The cached matrices of an adapter are freed with it."""
    encoder = tiny(BertModel, BertConfig)
    ours = PackedEncoder(encoder)
    cache = ours._by_segment._cache
    adapter = random_adapter(EncoderOnlyBase(encoder), 8)
    ours.forward(pack(rows_of((4,))), ((0, 4, adapter),))
    assert len(cache) == 1
    del adapter
    gc.collect()
    assert len(cache) == 0


@pytest.mark.parametrize("compute_dtype", [torch.float32, torch.bfloat16])
def test_bfloat16_weights_rank_as_float32_does(compute_dtype):
    """Products in bfloat16, or in fp32 from bfloat16 weights, order clearly different rows as fp32 does."""
    encoder = tiny(BertModel, BertConfig)
    adapter = random_adapter(EncoderOnlyBase(encoder), 9)
    rows = rows_of([9] * 40)
    packed = pack(rows)
    exact = PackedEncoder(encoder).forward(packed, ((0, 360, adapter),)).view(40, 9, 32).sum(1) @ adapter.head.weight
    rounded_encoder = encoder.to(torch.bfloat16)
    rounded = PackedEncoder(rounded_encoder, compute_dtype=compute_dtype)
    hidden = rounded.forward(packed, ((0, 360, adapter.to("cpu", torch.bfloat16)),))
    assert hidden.dtype == compute_dtype
    scores = hidden.float().view(40, 9, 32).sum(1) @ adapter.head.weight
    apart = (exact[:, None] - exact) > 0.5 * exact.std()
    assert apart.sum() > 300
    assert (scores[:, None] > scores)[apart].all()


def test_float32_is_computed_in_float32():
    """The weights' dtype is the compute dtype, except for bfloat16 on a CPU without instructions for it."""
    encoder = tiny(BertModel, BertConfig)
    assert default_compute_dtype(encoder) == torch.float32
    native = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert default_compute_dtype(encoder.to(torch.bfloat16)) == (torch.bfloat16 if native else torch.float32)


def test_other_encoders_are_refused():
    """Pre-LayerNorm, a decoder, a layer with another module or without a bias are not supported."""
    assert not PackedEncoder.supports(tiny(RobertaPreLayerNormModel, RobertaPreLayerNormConfig))
    assert not PackedEncoder.supports(tiny(BertModel, BertConfig, is_decoder=True))
    assert not PackedEncoder.supports(nn.Linear(2, 2))
    one_more = tiny(BertModel, BertConfig)
    one_more.encoder.layer[1].output.adapter = nn.Identity()
    assert not PackedEncoder.supports(one_more)
    without_bias = tiny(BertModel, BertConfig)
    without_bias.encoder.layer[0].intermediate.dense.bias = None
    assert not PackedEncoder.supports(without_bias)
