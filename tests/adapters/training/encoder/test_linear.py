"""Linear layers with gradients: outputs and gradients equal those of torch's own function."""

import pytest
import torch
from torch.nn import functional

from lorb_adapters.training.encoder.linear import linear, product


def operands(trained):
    """x, W and bias of a layer; W and bias require gradients if they are trained."""
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(shape, generator=generator) for shape in ((48, 32), (64, 32), (64,)))
    return x.requires_grad_(), weight.requires_grad_(trained), bias.requires_grad_(trained)


@pytest.mark.parametrize("trained", [True, False])
def test_output_and_gradients_equal_torchs(trained):
    """With trained and with frozen weights, the output and every gradient agree to rounding."""
    actual, expected = operands(trained), operands(trained)
    outputs = linear(*actual), functional.linear(*expected)
    torch.testing.assert_close(*outputs)
    for output in outputs:
        output.sin().sum().backward()
    for one, other in zip(actual, expected, strict=True):
        assert (one.grad is None) == (other.grad is None)
        if other.grad is not None:
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-5)


def test_a_trained_bias_of_a_frozen_layer_gets_its_gradient():
    """BitFit trains the bias alone: it gets the sum of the output's gradient, and the weight gets nothing."""
    x, weight, bias = (each.detach() for each in operands(trained=False))
    linear(x, weight, bias.requires_grad_()).sum().backward()
    assert bias.grad.tolist() == [48.0] * 64
    assert weight.grad is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_take_transposed_views(dtype):
    """A product with a transposed view of a weight equals torch's, with and without a bias."""
    x, weight, bias = (each.detach().to(dtype) for each in operands(trained=False))
    grad = product(x, weight, bias)
    torch.testing.assert_close(grad, functional.linear(x, weight, bias))
    torch.testing.assert_close(product(grad, weight.T), grad @ weight)
