"""Dropout: masks that depend on the key alone, and the gradient through them."""

import pytest
import torch

from lorb_adapters.base.loader import load_base
from lorb_adapters.lora.config import ALL_LINEAR, LoraConfig
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.encoder.dropout import Dropout
from lorb_adapters.training.methods import make_method


@pytest.fixture(params=["tiny_bert", "tiny_roberta"])
def base(request):
    return load_base(str(request.getfixturevalue(request.param)))


def rows_of(base, sample_dev):
    """The rows of a real list, sorted by length."""
    texts = [hypothesis.transcript for hypothesis in sample_dev[0].hypotheses]
    rows = base.text_encoder.encode(texts, "", TextNormalization(), uses_context=False)
    return sorted(rows, key=lambda row: row.num_tokens)


def random_lora(base, targets=ALL_LINEAR):
    """A LoRA method with random tensors."""
    method = make_method(base, TrainConfig(precision="fp32", lora=LoraConfig(rank=2, target_modules=targets)))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in method.tensors.values():
            tensor.add_(0.1 * torch.randn(tensor.shape, generator=generator))
    return method


def test_the_key_alone_decides_the_masks(base, sample_dev):
    """Equal keys give equal scores, other keys different ones, and the mean of many draws is near the plain scores."""
    method, rows = random_lora(base), rows_of(base, sample_dev)
    with torch.no_grad():
        plain = method.forward(rows, None)[1]

        def drawn(*key):
            return method.forward(rows, Dropout(0.2, base.device, *key))[1]

        assert torch.equal(drawn(1, 2), drawn(1, 2))
        assert not torch.equal(drawn(1, 2), drawn(1, 3))
        mean = torch.stack([drawn(0, step) for step in range(200)]).mean(0)
    assert (mean - plain).abs().max() < 0.5 * plain.abs().max()


def test_forward_and_backward_use_one_mask(base, sample_dev):
    """With dropout, the gradient of A equals that of finite differences."""
    method, rows = random_lora(base, ("query", "dense")), rows_of(base, sample_dev)
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
