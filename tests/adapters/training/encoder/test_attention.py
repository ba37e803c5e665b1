"""The training attention: contexts and gradients of packed rows, with and without a prefix."""

import torch
from torch.nn import functional

from lorb_adapters.encoder.packing import pack
from lorb_adapters.text import EncodedHypothesis
from lorb_adapters.training.encoder.attention import TrainingAttention


def _row(length):
    return EncodedHypothesis((1,) * length, (0,) * length, 0, False)


def test_attention_and_its_gradient_equal_torchs():
    """For rows of lengths 3, 1, 5 and 3, context and gradient equal autograd's through torch's own attention."""
    generator = torch.Generator().manual_seed(0)
    packed = pack([_row(length) for length in (3, 1, 5, 3)])
    attention = TrainingAttention(packed, num_heads=2, head_size=4)
    qkv = torch.randn(12, 24, generator=generator, requires_grad=True)
    weights = torch.randn(12, 8, generator=generator)
    (attention(qkv) * weights).sum().backward()
    reference = qkv.detach().clone().requires_grad_()
    expected, start = [], 0
    for length in (3, 1, 5, 3):
        q, k, v = reference[start : start + length].view(length, 3, 2, 4).permute(1, 2, 0, 3)
        expected.append(functional.scaled_dot_product_attention(q, k, v).transpose(0, 1).flatten(1))
        start += length
    torch.testing.assert_close(attention(qkv), torch.cat(expected))
    (torch.cat(expected) * weights).sum().backward()
    torch.testing.assert_close(qkv.grad, reference.grad, rtol=1e-4, atol=1e-6)


def test_an_empty_prefix_changes_nothing():
    """Attention with a prefix of length 0 equals attention without a prefix."""
    packed = pack([_row(length) for length in (2, 4, 2)])
    attention = TrainingAttention(packed, num_heads=2, head_size=4)
    qkv = torch.randn(8, 24, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(attention(qkv, (torch.zeros(0, 8), torch.zeros(0, 8))), attention(qkv))
