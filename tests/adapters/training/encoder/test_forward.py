"""The encoder's forward with gradients: equal to transformers' own, whatever a method adds and wherever it begins."""

import pytest
import torch
from torch.nn import functional

from lorb_adapters.base.loader import load_base
from lorb_adapters.encoder import onednn
from lorb_adapters.encoder.packing import pack
from lorb_adapters.lora.weights import ATTENTION, FEED_FORWARD, LoraConfig
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.encoder.attention import TrainingAttention
from lorb_adapters.training.encoder.dropout import Dropout
from lorb_adapters.training.encoder.forward import LayerHooks, TrainingEncoder
from lorb_adapters.training.methods import Lora, make_method

TARGETS = [("query", "key", "value", "dense"), ("query", "value"), ("value",), ATTENTION, FEED_FORWARD]


@pytest.fixture(params=["tiny_bert", "tiny_roberta"])
def base(request):
    return load_base(str(request.getfixturevalue(request.param)))


def rows_of(base, sample_dev, lists=4):
    """Rows of a few real lists, sorted by length."""
    rows = []
    for nbest in sample_dev[:lists]:
        texts = [hypothesis.transcript for hypothesis in nbest.hypotheses]
        rows += base.text_encoder.encode(texts, "", TextNormalization(), uses_context=False)
    return sorted(rows, key=lambda row: row.num_tokens)


def random_lora(base, **changes):
    """A LoRA method whose B is not zero, so that its A has a gradient and its scores differ from the base's."""
    method = make_method(base, TrainConfig(precision="fp32", **changes))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in method.tensors.values():
            tensor.add_(0.1 * torch.randn(tensor.shape, generator=generator))
    return method


def gradients(method, features, scores):
    """Of a loss that reads everything, by name."""
    (scores.square().sum() + features.sin().sum()).backward()
    found = {name: tensor.grad.clone() for name, tensor in method.tensors.items()}
    for tensor in method.tensors.values():
        tensor.grad = None
    return found


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("layers", [None, (1,)])
def test_scores_and_gradients_are_those_of_transformers_own_modules(base, sample_dev, targets, layers):
    """LoRA at any targets and layers: features, scores and every gradient agree with the module path to rounding."""
    method = random_lora(base, lora=LoraConfig(rank=3, target_modules=targets, layers=layers))
    assert isinstance(method, Lora)
    rows = rows_of(base, sample_dev)
    ours = method.forward(rows, None)
    theirs = method.model.forward(rows, method.weights(method.tensors))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    expected = gradients(method, *theirs)
    for name, gradient in gradients(method, *ours).items():
        scale = expected[name].abs().max().item()
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-4 * scale + 1e-7, msg=name)


@pytest.mark.parametrize("name", ["lora", "full", "adapter", "prefix"])
def test_passes_of_shared_lengths_are_the_same_passes(base, sample_dev, monkeypatch, name):
    """Tokens behind the last row, which oneDNN's products have, change neither scores nor any gradient."""
    method = random_lora(base, method=name)
    rows = rows_of(base, sample_dev)
    expected = method.forward(rows, None)
    lengths = []
    linear = functional.linear
    monkeypatch.setattr(onednn, "computes", lambda device, dtype: True)
    monkeypatch.setattr(functional, "linear", lambda x, *rest: lengths.append(len(x)) or linear(x, *rest))
    ours = method.forward(rows, None)
    assert set(lengths) == {onednn.token_step_up(sum(row.num_tokens for row in rows))}
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    wanted = gradients(method, *expected)
    for part, gradient in gradients(method, *ours).items():
        scale = wanted[part].abs().max().item()
        torch.testing.assert_close(gradient, wanted[part], rtol=1e-4, atol=1e-4 * scale + 1e-7, msg=part)


def test_attention_has_the_gradient_of_its_formula():
    """Rows of lengths 1, 3, 3 and 5, by autograd's own finite differences in fp64 precision of the inputs."""
    generator = torch.Generator().manual_seed(0)
    packed = pack([_row(length) for length in (3, 1, 5, 3)])
    attention = TrainingAttention(packed, num_heads=2, head_size=4)
    qkv = torch.randn(12, 24, generator=generator, requires_grad=True)
    weights = torch.randn(12, 8, generator=generator)
    (attention(qkv) * weights).sum().backward()
    whole = qkv.detach().clone().requires_grad_()
    expected, start = [], 0
    for length in (3, 1, 5, 3):
        q, k, v = whole[start : start + length].view(length, 3, 2, 4).permute(1, 2, 0, 3)
        expected.append(torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(0, 1).flatten(1))
        start += length
    torch.testing.assert_close(attention(qkv), torch.cat(expected))
    (torch.cat(expected) * weights).sum().backward()
    torch.testing.assert_close(qkv.grad, whole.grad, rtol=1e-4, atol=1e-6)


def test_a_prefix_of_no_length_changes_nothing():
    """The path with a prefix, given an empty one, is plain attention."""
    packed = pack([_row(length) for length in (2, 4, 2)])
    attention = TrainingAttention(packed, num_heads=2, head_size=4)
    qkv = torch.randn(8, 24, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(attention(qkv, (torch.zeros(0, 8), torch.zeros(0, 8))), attention(qkv))


def test_layers_may_be_run_in_parts(base, sample_dev):
    """What the lower layers give, fed to the upper ones, is what all give at once."""
    encoder = TrainingEncoder(base.encoder, torch.float32)
    packed = pack(rows_of(base, sample_dev), first_position=base.first_position)
    with torch.no_grad():
        x = encoder.embed(packed)
        parts = encoder.forward(packed, encoder.forward(packed, x, range(1), LayerHooks()), range(1, 2), LayerHooks())
        assert torch.equal(parts, encoder.forward(packed, x, range(2), LayerHooks()))


def test_no_gradient_is_computed_below_the_lowest_trained_layer(base, sample_dev):
    """With layer 1 alone adapted, what layer 1 reads carries no graph."""
    method = random_lora(base, lora=LoraConfig(rank=2, layers=(1,)))
    assert method.first_trained_layer == 1
    assert not method.frozen_hidden_states(rows_of(base, sample_dev)).requires_grad


def test_dropout_draws_by_its_key_alone(base, sample_dev):
    """The same key gives the same scores, another key others; the mean of many draws is near the plain scores."""
    method = random_lora(base, lora=LoraConfig(rank=2))
    rows = rows_of(base, sample_dev, 1)
    with torch.no_grad():
        plain = method.forward(rows, None)[1]

        def drawn(*key):
            return method.forward(rows, Dropout(0.2, base.device, *key))[1]

        assert torch.equal(drawn(1, 2), drawn(1, 2))
        assert not torch.equal(drawn(1, 2), drawn(1, 3))
        mean = torch.stack([drawn(0, step) for step in range(200)]).mean(0)
    assert (mean - plain).abs().max() < 0.5 * plain.abs().max()


def test_dropout_has_the_gradient_of_the_masked_product(base, sample_dev):
    """With dropout, the gradient to A is that of finite differences: forward and backward use one mask."""
    method = random_lora(base, lora=LoraConfig(rank=2, target_modules=("query", "dense")))
    rows = rows_of(base, sample_dev, 1)
    name = "encoder.layer.0.attention.self.query.A"

    def loss():
        features, scores = method.forward(rows, Dropout(0.3, base.device, 5))
        return scores.sum() + features.square().sum()

    loss().backward()
    gradient = method.tensors[name].grad
    direction = gradient / gradient.norm()
    with torch.no_grad():
        method.tensors[name] += 1e-2 * direction
        above = loss()
        method.tensors[name] -= 2e-2 * direction
        slope = (above - loss()) / 2e-2
    assert slope.item() == pytest.approx(gradient.norm().item(), rel=2e-2)


def _row(length):
    from lorb_adapters.text import EncodedHypothesis

    return EncodedHypothesis((1,) * length, (0,) * length, 0, False)
