"""The model: one packed pass over any mix of adapters gives what peft gives row by row on padded input."""

from dataclasses import replace

import pytest
import torch
from peft import LoraConfig as PeftConfig
from peft import get_peft_model, set_peft_model_state_dict
from transformers import AutoModel

from lorb_adapters.base.loader import load_base
from lorb_adapters.lora.head import HEAD_KINDS, HeadWeights
from lorb_adapters.lora.weights import LoraConfig, adapter_state_dict, base_only_weights
from lorb_adapters.model import RescoringModel
from lorb_adapters.text import TextNormalization
from support.adapters.random_adapters import random_adapter


@pytest.fixture(scope="module", params=["tiny_bert", "tiny_roberta"])
def folder(request):
    return str(request.getfixturevalue(request.param))


@pytest.fixture(scope="module")
def base(folder):
    return load_base(folder)


@pytest.fixture(scope="module")
def model(base):
    return RescoringModel(base)


@pytest.fixture(scope="module")
def rows(base, sample_dev):
    """Three real lists of different lengths, one of them with an empty hypothesis and a context."""
    rows = []
    for nbest in sample_dev[:3]:
        texts = [hypothesis.transcript for hypothesis in nbest.hypotheses]
        rows += base.text_encoder.encode(texts, "", TextNormalization(), uses_context=False)
    rows += base.text_encoder.encode(["", "the man"], "who was it", TextNormalization(), uses_context=True)
    return rows


def peft_scores(folder, adapters, rows, row_adapters):
    """The same scores by peft's own mixed batch (`adapter_names`) on padded input, with transformers' attention."""
    reference = AutoModel.from_pretrained(folder, attn_implementation="eager", add_pooling_layer=False).eval()
    pad = reference.config.pad_token_id
    wrapped = None
    for i, adapter in enumerate(adapters):
        config = PeftConfig(
            r=adapter.config.rank,
            lora_alpha=adapter.config.alpha,
            target_modules=list(adapter.config.target_modules),
        )
        if wrapped is None:
            wrapped = get_peft_model(reference, config, adapter_name=f"a{i}")
        else:
            wrapped.add_adapter(f"a{i}", config)
        set_peft_model_state_dict(wrapped, adapter_state_dict(adapter), adapter_name=f"a{i}")
    longest = max(row.num_tokens for row in rows)
    ids = torch.tensor([[*row.token_ids, *[pad] * (longest - row.num_tokens)] for row in rows])
    types = torch.tensor([[*row.type_ids, *[0] * (longest - row.num_tokens)] for row in rows])
    mask = torch.tensor([[1] * row.num_tokens + [0] * (longest - row.num_tokens) for row in rows])
    with torch.no_grad():
        hidden = wrapped.eval()(
            input_ids=ids,
            token_type_ids=types,
            attention_mask=mask,
            adapter_names=[f"a{i}" for i in row_adapters],
        ).last_hidden_state
    scores = []
    for row, states, which in zip(rows, hidden, row_adapters, strict=True):
        head = adapters[which].head
        tokens = states[:1] if head.kind == "cls" else states[row.scored_from : row.num_tokens]
        per_token = tokens @ head.weight + head.bias
        scores.append(per_token.sum() if head.kind == "sum" else per_token.mean())
    return torch.stack(scores)


def test_a_mixed_pass_equals_pefts_mixed_batch(folder, base, model, rows):
    """Packed rows of five adapters with every kind of head, some ranks and targets apart, score as in peft, to 1e-5."""
    adapters = [
        random_adapter(base, 0, "sum"),
        random_adapter(base, 1, "mean"),
        random_adapter(base, 2, "cls"),
        random_adapter(base, 3, "sum", targets=("query", "value")),
        random_adapter(base, 4, "sum", rank=2),
    ]
    row_adapters = [i * 7 % 5 for i in range(len(rows))]
    expected = peft_scores(folder, adapters, rows, row_adapters)
    torch.testing.assert_close(model.score(rows, adapters, row_adapters), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", HEAD_KINDS)
def test_a_row_scores_the_same_in_any_company(base, model, rows, kind):
    """A row's score does not depend on the order, the neighbours or the other adapters of its pass."""
    adapters = [random_adapter(base, 5, kind), random_adapter(base, 6, kind)]
    together = model.score(rows, adapters, [i % 2 for i in range(len(rows))])
    for i in (0, 7, len(rows) - 1):
        alone = model.score([rows[i]], [adapters[i % 2]], [0])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-5, atol=1e-5)


def test_training_and_serving_compute_the_same_scores(base, model, rows):
    """`forward`, which trains, and `score`, which serves, are one function, to 1e-5."""
    adapter = random_adapter(base, 7)
    with torch.enable_grad():
        _, trained = model.forward(rows, adapter)
    torch.testing.assert_close(model.score(rows, [adapter], [0] * len(rows)), trained.detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", HEAD_KINDS)
def test_gradients_are_those_of_autograd(base, model, rows, kind):
    """The hand-written backward pass agrees with differences of the loss along a random direction."""
    adapter = random_adapter(base, 8, kind)
    tensors = [tensor for pair in adapter.lora.values() for tensor in pair] + [adapter.head.weight]
    for tensor in tensors:
        tensor.requires_grad_(True)
    mixing = torch.randn(len(rows), generator=torch.Generator().manual_seed(0))
    _, scores = model.forward(rows, adapter)
    gradients = torch.autograd.grad((scores * mixing).sum(), tensors)
    generator = torch.Generator().manual_seed(1)
    directions = [torch.randn(tensor.shape, generator=generator) for tensor in tensors]
    slope = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))
    step = 1e-3

    def loss_at(distance: float) -> float:
        with torch.no_grad():
            for tensor, direction in zip(tensors, directions, strict=True):
                tensor.add_(direction, alpha=distance)
            value = float((model.score(rows, [adapter], [0] * len(rows)).double() * mixing).sum())
            for tensor, direction in zip(tensors, directions, strict=True):
                tensor.sub_(direction, alpha=distance)
        return value

    measured = (loss_at(step) - loss_at(-step)) / (2 * step)
    assert measured == pytest.approx(slope, rel=0.02, abs=0.02)


def test_no_pass_changes_the_base(base, model, rows):
    """After serving and a training step every weight of the base is bit for bit as it was, none with a gradient."""
    before = {name: tensor.clone() for name, tensor in base.encoder.state_dict().items()}
    adapter = random_adapter(base, 9)
    adapter.head.weight.requires_grad_(True)
    model.score(rows, [adapter], [0] * len(rows))
    _, scores = model.forward(rows, adapter)
    scores.sum().backward()
    after = base.encoder.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.grad is None for parameter in base.encoder.parameters())


def test_launched_passes_are_collected_in_any_order(base, model, rows):
    """A pass launched before another and collected after it has its own scores, in the order of its own rows."""
    adapters = [random_adapter(base, 15), random_adapter(base, 16)]
    which = [i % 2 for i in range(len(rows))]
    expected = model.score(rows, adapters, which), model.score(rows[::-1], adapters, which[::-1])
    first = model.launch(rows, adapters, which)
    second = model.launch(rows[::-1], adapters, which[::-1])
    assert first.is_ready
    assert torch.equal(second.collect(), expected[1])
    assert torch.equal(first.collect(), expected[0])
    torch.testing.assert_close(expected[1].flip(0), expected[0], rtol=1e-5, atol=1e-5)


def test_a_fresh_adapter_scores_everything_zero(base, model, rows):
    """B and the head start at zero: the first-pass order is left untouched."""
    from lorb_adapters.lora.sites import fresh_weights

    fresh = fresh_weights(
        base.encoder,
        LoraConfig(),
        HeadWeights.zeros("sum", base.hidden_size),
        torch.Generator().manual_seed(0),
    )
    assert model.score(rows, [fresh], [0] * len(rows)).abs().max() == 0


def test_the_bases_own_head_mixes_with_adapters(base, model, rows):
    """The reserved domain `base` has no LoRA; beside an adapter in one pass it scores as it does alone."""
    own = base_only_weights(random_adapter(base, 10).head)
    adapters = [own, random_adapter(base, 11)]
    row_adapters = [i % 2 for i in range(len(rows))]
    mixed = model.score(rows, adapters, row_adapters)
    alone = model.score(rows, [own], [0] * len(rows))
    torch.testing.assert_close(mixed[0::2], alone[0::2], rtol=1e-5, atol=1e-5)


def test_bfloat16_adapters_and_base_keep_fp32_scores(folder, rows):
    """In bfloat16 the scores stay close to fp32's and come back in fp32: the head is never rounded."""
    exact_base = load_base(folder)
    rounded_base = load_base(folder, dtype=torch.bfloat16)
    adapter = random_adapter(exact_base, 12)
    exact = RescoringModel(exact_base).score(rows, [adapter], [0] * len(rows))
    rounded_adapter = adapter.to("cpu", torch.bfloat16)
    rounded = RescoringModel(rounded_base).score(rows, [rounded_adapter], [0] * len(rows))
    assert rounded.dtype == torch.float32
    assert rounded_adapter.head.weight.dtype == torch.float32
    assert float((exact - rounded).abs().max() / exact.std()) < 0.1


def test_gradients_refuse_a_mix(base, model, rows):
    """Training is of one adapter: a mix under gradients is an error, never a silent approximation."""
    adapters = [random_adapter(base, 13), random_adapter(base, 14)]
    packed = model.pack(rows)
    half = packed.num_tokens // 2
    with pytest.raises(ValueError, match="one adapter"):
        model.hidden(packed, ((0, half, adapters[0]), (half, packed.num_tokens, adapters[1])))
    assert replace(adapters[0].config, rank=1).scaling == adapters[0].config.alpha
