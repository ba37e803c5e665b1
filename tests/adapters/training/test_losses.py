"""The losses: values follow the formulas, and gradients stay finite in degenerate cases."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lorb_adapters.training.losses import (
    correlation_penalty,
    distillation_loss,
    mwed_loss,
    mwer_loss,
    r_drop_loss,
)


def test_mwer_is_the_expected_errors_above_the_mean():
    """MWER of two lists is the mean of sum P (eps - mean eps), with P the softmax of the combined scores."""
    combined = torch.tensor([math.log(3.0), 0.0, 0.0, 0.0, 0.0])
    errors = torch.tensor([0, 4, 1, 2, 6])
    first = 0.75 * (0 - 2) + 0.25 * (4 - 2)
    second = sum((e - 3) / 3 for e in (1, 2, 6))
    assert mwer_loss(combined, errors, [2, 3]).item() == pytest.approx((first + second) / 2)


def test_mwer_moves_probability_to_hypotheses_with_fewer_errors():
    """The gradient is P_i (eps_i - expected) / lists: positive on the worse hypothesis, negative on the better."""
    combined = torch.zeros(3, requires_grad=True)
    mwer_loss(combined, torch.tensor([0, 1, 5]), [3]).backward()
    expected = [(e - 2) / 3 for e in (0, 1, 5)]
    assert combined.grad.tolist() == pytest.approx(expected)


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=8), st.floats(-100, 100))
def test_a_constant_does_not_change_mwer(scores, shift):
    """Adding a constant to all scores of a list does not change the loss."""
    errors = torch.arange(len(scores))
    plain = mwer_loss(torch.tensor(scores), errors, [len(scores)])
    shifted = mwer_loss(torch.tensor(scores) + shift, errors, [len(scores)])
    assert shifted.item() == pytest.approx(plain.item(), abs=1e-3)


def test_a_list_without_contrast_has_no_gradient():
    """A list with equal errors has a gradient of zero."""
    combined = torch.randn(4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    mwer_loss(combined, torch.tensor([2, 2, 2, 2]), [4]).backward()
    assert combined.grad.abs().max() < 1e-6


def softmax(values):
    exps = [math.exp(value) for value in values]
    return [each / sum(exps) for each in exps]


def test_mwed_is_the_divergence_of_costs_from_errors():
    """MWED of two lists is the mean of KL(softmax(eps) || softmax(cost / T)), with T = sum cost / sum eps."""
    combined, errors = [[-1.0, -2.0, -4.5], [-3.0, -2.0]], [[0, 1, 4], [1, 3]]
    expected = 0.0
    for scores, counts in zip(combined, errors, strict=True):
        cost = [max(scores) - score for score in scores]
        excess = [count - min(counts) for count in counts]
        temperature = sum(cost) / sum(excess)
        p, q = softmax(excess), softmax([each / temperature for each in cost])
        expected += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) / 2
    flat = torch.tensor([score for scores in combined for score in scores])
    counts = torch.tensor([count for each in errors for count in each])
    assert mwed_loss(flat, counts, [3, 2]).item() == pytest.approx(expected, rel=1e-5)


def test_mwed_is_zero_for_costs_proportional_to_the_errors():
    """Scores that fall linearly with the errors give 0, for any scale and any best score."""
    errors = torch.tensor([2, 0, 5, 1])
    assert mwed_loss(7.0 - 0.3 * errors, errors, [4]).item() == pytest.approx(0.0, abs=1e-6)


def test_mwed_decreases_along_its_gradient_and_stays_finite():
    """A step against the gradient lowers MWED; lists of equal scores or equal errors have a gradient of 0."""
    combined = torch.tensor([-1.0, -2.0, -2.5, -1.0, -1.0, -3.0, -4.0], requires_grad=True)
    errors = torch.tensor([3, 0, 1, 0, 2, 1, 1])
    sizes = [3, 2, 2]
    loss = mwed_loss(combined, errors, sizes)
    loss.backward()
    assert torch.isfinite(combined.grad).all()
    assert combined.grad[3:].abs().max() == 0
    with torch.no_grad():
        assert mwed_loss(combined - 1e-2 * combined.grad, errors, sizes) < loss


def test_distillation_is_the_mean_squared_distance():
    """Distances of 1 and 2 give (1 + 4) / 2; no hypotheses give 0, not NaN."""
    assert distillation_loss(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0])).item() == pytest.approx(2.5)
    assert distillation_loss(torch.zeros(0), torch.zeros(0)).item() == 0.0


def test_r_drop_is_the_symmetric_divergence_of_posteriors():
    """R-Drop of two lists is the mean symmetric KL, 0 for equal passes, with a finite gradient."""
    first = torch.tensor([0.0, 1.0, 2.0, -1.0, 1.0], requires_grad=True)
    second = torch.tensor([0.5, 1.0, 0.0, -1.0, 3.0])
    expected = 0.0
    for part in (slice(0, 3), slice(3, 5)):
        p, q = softmax(first[part].tolist()), softmax(second[part].tolist())
        expected += sum((a - b) * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True)) / 2 / 2
    loss = r_drop_loss(first, second, [3, 2])
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert torch.isfinite(first.grad).all()
    assert r_drop_loss(second, second, [3, 2]).item() == 0.0


def test_correlation_penalty_is_the_frobenius_distance_from_the_identity():
    """The penalty equals || corrcoef - I ||_F, not squared."""
    features = torch.randn(20, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = (torch.corrcoef(features.T) - torch.eye(5)).norm()
    torch.testing.assert_close(correlation_penalty(features), expected)


def test_uncorrelated_features_cost_nothing_and_copies_cost_most():
    """Orthogonal columns give 0; identical ones give sqrt(d^2 - d)."""
    orthogonal = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert correlation_penalty(orthogonal).item() == pytest.approx(0.0, abs=1e-5)
    copies = torch.arange(6.0)[:, None].expand(6, 3)
    assert correlation_penalty(copies).item() == pytest.approx(math.sqrt(6), rel=1e-5)


@pytest.mark.parametrize("num_rows", [1, 2, 7])
def test_constant_features_and_single_rows_stay_finite(num_rows):
    """Constant features, and one or two rows, give finite values and gradients, not a division by zero."""
    features = torch.randn(num_rows, 4, generator=torch.Generator().manual_seed(0))
    features[:, 2] = 3.0
    features.requires_grad_()
    penalty = correlation_penalty(features)
    penalty.backward()
    assert math.isfinite(penalty.item())
    assert torch.isfinite(features.grad).all()


def test_the_penalty_of_independent_rows_depends_on_their_number():
    """Independent features of B rows give about sqrt((d^2 - d) / (B - 1))."""
    features = torch.randn(64, 96, generator=torch.Generator().manual_seed(0))
    assert correlation_penalty(features).item() == pytest.approx(math.sqrt((96**2 - 96) / 63), rel=0.1)
