"""oneDNN's joined products, and the lengths that passes come in."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lorb_adapters.encoder import onednn

CPU = torch.device("cpu")
has_bfloat16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this processor multiplies no bfloat16"
)


@given(st.integers(1, 100_000))
def test_lengths_are_few_and_not_far(num_tokens):
    """A pass grows by 15 tokens at most, or by a sixteenth, and never shrinks; a shared length is its own."""
    length = onednn.token_step_up(num_tokens)
    assert num_tokens <= length <= max(num_tokens + 15, num_tokens * 17 / 16)
    assert onednn.token_step_up(length) == length


def test_passes_of_all_sizes_share_few_lengths():
    """Up to 8192 tokens there are 96, so that all products of all passes fit oneDNN's cache of 1024 kernels."""
    assert len({onednn.token_step_up(n) for n in range(1, 8193)}) == 96


@has_bfloat16
def test_joined_products_are_the_plain_ones():
    """Bias and residual joined to the product change nothing but rounding."""
    generator = torch.Generator().manual_seed(0)
    x, weight, bias, residual = (
        torch.randn(shape, generator=generator).bfloat16() for shape in ((48, 32), (64, 32), (64,), (48, 64))
    )
    packed = onednn.packed_weight(weight)
    exact = x.float() @ weight.float().T + bias.float()
    torch.testing.assert_close(onednn.linear(x, packed, bias).float(), exact, rtol=0.01, atol=0.05)
    joined = onednn.linear_onto(residual, x, packed, bias).float()
    torch.testing.assert_close(joined, exact + residual.float(), rtol=0.01, atol=0.05)


def test_other_products_stay_with_torch():
    """Not those in float32, nor another device's."""
    assert not onednn.computes(CPU, torch.float32)
    assert not onednn.computes(torch.device("cuda"), torch.bfloat16)
