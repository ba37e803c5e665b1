"""oneDNN's fused products, and the lengths that batches are padded to."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lorb_adapters.encoder import onednn

CPU = torch.device("cpu")
has_bfloat16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this CPU has no bfloat16 instructions"
)


@given(st.integers(1, 100_000))
def test_padding_is_at_most_15_tokens_or_a_sixteenth(num_tokens):
    """A batch never shrinks and grows by at most 15 tokens or a sixteenth; a padded length is not padded again."""
    length = onednn.padded_length(num_tokens)
    assert num_tokens <= length <= max(num_tokens + 15, num_tokens * 17 / 16)
    assert onednn.padded_length(length) == length


def test_batches_of_all_sizes_share_few_lengths():
    """Up to 8192 tokens there are 96 lengths, so the kernels of all products fit oneDNN's cache of 1024."""
    assert len({onednn.padded_length(n) for n in range(1, 8193)}) == 96


@pytest.mark.parametrize(
    ("dtype", "rtol", "atol"),
    [(torch.float32, 1e-5, 1e-5), pytest.param(torch.bfloat16, 0.01, 0.05, marks=has_bfloat16)],
)
def test_fused_products_equal_separate_operations(dtype, rtol, atol):
    """The fused product with bias and residual equals the fp32 formula up to rounding, for either layout of W."""
    generator = torch.Generator().manual_seed(0)
    x, weight, bias, residual = (
        torch.randn(shape, generator=generator).to(dtype) for shape in ((48, 32), (64, 32), (64,), (48, 64))
    )
    reordered = onednn.reorder_weight(weight)
    exact = x.float() @ weight.float().T + bias.float()
    for either in (weight, reordered):
        torch.testing.assert_close(onednn.linear(x, either, bias).float(), exact, rtol=rtol, atol=atol)
        without_bias = onednn.linear(x, either, None).float()
        torch.testing.assert_close(without_bias, exact - bias.float(), rtol=rtol, atol=atol)
    fused = onednn.linear_add(residual, x, reordered, bias).float()
    torch.testing.assert_close(fused, exact + residual.float(), rtol=rtol, atol=atol)


def test_onednn_is_for_float32_and_bfloat16_on_a_cpu():
    """Products in other dtypes or on other devices are left to torch."""
    assert onednn.supports(CPU, torch.float32)
    assert not onednn.supports(CPU, torch.float16)
    assert not onednn.supports(torch.device("cuda"), torch.bfloat16)
    assert not onednn.supports(torch.device("meta"), torch.float32)
