"""How alike two layers' hidden states are, whatever their axes."""

from torch import Tensor


def linear_cka(one: Tensor, other: Tensor) -> float:
    """Linear centred kernel alignment (Kornblith et al. 2019, arXiv 1905.00414), from 0 to 1.

    || Y^T X ||_F^2 / (|| X^T X ||_F || Y^T Y ||_F), columns centred: 1 for a rotation, a scaling or a shift.
    one: [n, d], other: [n, e], of the same n tokens. NaN where a side is constant.
    """
    x, y = (side.double() - side.double().mean(0) for side in (one, other))
    cross = (y.T @ x).square().sum()
    return float(cross / ((x.T @ x).norm() * (y.T @ y).norm()))
