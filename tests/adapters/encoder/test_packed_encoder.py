"""The hand-written forward: equal to transformers' own for every family, adapter and order of passes."""

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

from lorb_adapters.base.loader import load_base
from lorb_adapters.encoder.packed_encoder import PackedEncoder, compute_dtype_of
from lorb_adapters.encoder.packing import PACKED_ATTENTION, pack
from lorb_adapters.lora.sites import inject
from lorb_adapters.model import RescoringModel
from lorb_adapters.text import EncodedHypothesis
from support.adapters.random_adapters import random_adapter
from support.adapters.tiny_bases import make_bert

SIZES = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 600,
    "attn_implementation": PACKED_ATTENTION,
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
    """A random encoder as `load_base` would leave it."""
    torch.manual_seed(0)
    config = config_class(**SIZES, **options)
    positional = {} if model_class is ElectraModel else {"add_pooling_layer": False}
    return model_class(config, **positional).eval().requires_grad_(False)


@pytest.fixture(scope="module", params=["bert", "relu", "xlm-roberta", "electra", "electra, narrow embeddings"])
def encoder(request):
    """Families and what differs between them."""
    made = {
        "bert": lambda: tiny(BertModel, BertConfig),
        "relu": lambda: tiny(BertModel, BertConfig, hidden_act="relu"),
        "xlm-roberta": lambda: tiny(XLMRobertaModel, XLMRobertaConfig, type_vocab_size=1),
        "electra": lambda: tiny(ElectraModel, ElectraConfig, embedding_size=32),
        "electra, narrow embeddings": lambda: tiny(ElectraModel, ElectraConfig, embedding_size=16),
    }
    return made[request.param]()


class Bare:
    """What `random_adapter` reads of a base."""

    hidden_size = 32

    def __init__(self, encoder):
        self.encoder = encoder


def reference(encoder, packed, segments):
    """Transformers' forward with the adapters beside its linear layers."""
    running = inject(encoder)
    running.segments = segments
    try:
        with torch.inference_mode():
            return encoder(
                input_ids=packed.token_ids,
                token_type_ids=packed.type_ids,
                position_ids=packed.position_ids,
                packed_rows=packed,
            ).last_hidden_state[0]
    finally:
        running.segments = ()


def thirds(packed, adapters):
    """Three segments of whole tokens, the middle one without an adapter."""
    third = packed.num_tokens // 3
    return ((0, third, adapters[0]), (2 * third, packed.num_tokens, adapters[1]))


def test_hidden_states_are_those_of_transformers(encoder):
    """Without an adapter, with one, and with two of unlike ranks and targets, to 1e-5."""
    assert PackedEncoder.supports(encoder)
    ours = PackedEncoder(encoder)
    packed = pack(rows_of(MIXED_LENGTHS), first_position=2)
    one = random_adapter(Bare(encoder), 0)
    other = random_adapter(Bare(encoder), 1, targets=("query", "value"), rank=3)
    for segments in ((), ((0, packed.num_tokens, one),), thirds(packed, [one, other])):
        torch.testing.assert_close(
            ours.forward(packed, segments), reference(encoder, packed, segments), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize(
    "targets",
    [
        ("query",), ("key",), ("value",), ("query", "key"), ("query", "value"), ("key", "value"), ("dense",),
        ("query", "key", "value"), ("key", "dense"),
    ],
)  # fmt: skip
def test_every_choice_of_targets_reaches_its_own_outputs(targets):
    """A branch of some of query, key and value adds to those and to nothing else."""
    encoder = tiny(BertModel, BertConfig)
    packed = pack(rows_of(MIXED_LENGTHS))
    segments = ((0, packed.num_tokens, random_adapter(Bare(encoder), 2, targets=targets)),)
    with_adapter = PackedEncoder(encoder).forward(packed, segments)
    torch.testing.assert_close(with_adapter, reference(encoder, packed, segments), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(with_adapter, reference(encoder, packed, ()), atol=1e-3)


def test_long_rows_are_attended_in_parts():
    """Rows whose attention scores exceed one batched product give what transformers gives."""
    encoder = tiny(BertModel, BertConfig)
    packed = pack(rows_of((590, 590, 1)))
    torch.testing.assert_close(
        PackedEncoder(encoder).forward(packed, ()), reference(encoder, packed, ()), rtol=1e-5, atol=1e-5
    )


def test_a_pass_leaves_nothing_behind_for_the_next():
    """Passes of changing size and adapters, small after large and large after small, score as in a new encoder."""
    encoder = tiny(BertModel, BertConfig)
    adapters = [random_adapter(Bare(encoder), 3), random_adapter(Bare(encoder), 4, rank=2)]
    used = PackedEncoder(encoder)
    kept = []
    for lengths in (MIXED_LENGTHS, (1,), (40, 40, 2), (5, 6), MIXED_LENGTHS):
        packed = pack(rows_of(lengths))
        segments = thirds(packed, adapters) if len(lengths) != 2 else ()
        hidden = used.forward(packed, segments)
        kept.append((hidden, hidden.clone()))
        assert torch.equal(hidden, PackedEncoder(encoder).forward(packed, segments))
    assert all(torch.equal(hidden, then) for hidden, then in kept)  # results do not lie in the buffers


def test_not_a_number_stays_in_its_own_rows():
    """Rows of an adapter with NaN leave the rows beside them, and the next pass, as they were."""
    encoder = tiny(BertModel, BertConfig)
    good, bad = random_adapter(Bare(encoder), 5), random_adapter(Bare(encoder), 6)
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
    """What a trainer writes into an adapter between two passes counts in the second."""
    encoder = tiny(BertModel, BertConfig)
    adapter = random_adapter(Bare(encoder), 7)
    for tensor in adapter.tensors():
        tensor.requires_grad_(True)
    ours = PackedEncoder(encoder)
    packed = pack(rows_of(MIXED_LENGTHS))
    segments = ((0, packed.num_tokens, adapter),)
    before = ours.forward(packed, segments)
    with torch.no_grad():
        for tensor in adapter.tensors():
            tensor.mul_(0.5)
    after = ours.forward(packed, segments)
    assert not torch.allclose(before, after, atol=1e-3)
    torch.testing.assert_close(after, reference(encoder, packed, segments), rtol=1e-5, atol=1e-5)


def test_what_is_kept_for_an_adapter_goes_with_it():
    """No adapter is kept alive by having been served."""
    encoder = tiny(BertModel, BertConfig)
    ours = PackedEncoder(encoder)
    kept = ours._biased._kept
    adapter = random_adapter(Bare(encoder), 8)
    ours.forward(pack(rows_of((4,))), ((0, 4, adapter),))
    assert len(kept) == 1
    del adapter
    gc.collect()
    assert len(kept) == 0


@pytest.mark.parametrize("compute_dtype", [torch.float32, torch.bfloat16])
def test_bfloat16_weights_rank_as_float32_does(compute_dtype):
    """Products in bfloat16, or in fp32 from bfloat16 weights, order what differs clearly as fp32 does."""
    encoder = tiny(BertModel, BertConfig)
    adapter = random_adapter(Bare(encoder), 9)
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
    """Only bfloat16 on a processor without its instructions is computed in another dtype."""
    encoder = tiny(BertModel, BertConfig)
    assert compute_dtype_of(encoder) == torch.float32
    native = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert compute_dtype_of(encoder.to(torch.bfloat16)) == (torch.bfloat16 if native else torch.float32)


def test_other_encoders_are_refused():
    """A LayerNorm in another place, a decoder, a layer with one part more or without a bias is not taken for BERT."""
    assert not PackedEncoder.supports(tiny(RobertaPreLayerNormModel, RobertaPreLayerNormConfig))
    assert not PackedEncoder.supports(tiny(BertModel, BertConfig, is_decoder=True))
    assert not PackedEncoder.supports(nn.Linear(2, 2))
    one_more = tiny(BertModel, BertConfig)
    one_more.encoder.layer[1].output.adapter = nn.Identity()
    assert not PackedEncoder.supports(one_more)
    without_bias = tiny(BertModel, BertConfig)
    without_bias.encoder.layer[0].intermediate.dense.bias = None
    assert not PackedEncoder.supports(without_bias)


def test_an_unsupported_encoder_is_served_by_transformers(tmp_path):
    """A model of such an encoder scores through transformers' forward, adapters included."""
    base = load_base(str(make_bert(tmp_path)))
    adapter = random_adapter(base, 10)
    rows = rows_of((4, 9, 4))
    expected = RescoringModel(base).score(rows, [adapter], [0] * 3)
    base.encoder.encoder.layer[0].output.one_more = nn.Identity()
    fallen_back = RescoringModel(base)
    assert fallen_back._packed_encoder is None
    torch.testing.assert_close(fallen_back.score(rows, [adapter], [0] * 3), expected, rtol=1e-5, atol=1e-5)


def test_what_is_kept_for_an_adapter_is_counted():
    """A served adapter takes what `served_bytes` says, within a tenth: biases and padding come on top."""
    encoder = tiny(BertModel, BertConfig)
    ours = PackedEncoder(encoder)
    adapter = random_adapter(Bare(encoder), 12, rank=8)
    branches = ours._biased.of(adapter)
    kept = {tensor.data_ptr(): tensor.nbytes for branch in branches for tensor in (branch.a, *branch.b)}
    assert sum(kept.values()) + adapter.size_bytes == pytest.approx(adapter.served_bytes, rel=0.1)
