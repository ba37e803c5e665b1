"""Computes the similarity of hidden states (CKA) and the divergence of attention distributions (Jensen-Shannon)."""

import torch
from torch import Tensor


def linear_cka(one: Tensor, other: Tensor) -> float:
    """Linear centred kernel alignment (Kornblith et al. 2019, arXiv 1905.00414), from 0 to 1.

    || Y^T X ||_F^2 / (|| X^T X ||_F || Y^T Y ||_F), columns centred: 1 if Y is X rotated, scaled or shifted.
    one: [n, d], other: [n, e], of the same n tokens. NaN if one of them is constant.
    """
    x, y = (side.double() - side.double().mean(0) for side in (one, other))
    cross = (y.T @ x).square().sum()
    return float(cross / ((x.T @ x).norm() * (y.T @ y).norm()))


def jensen_shannon(one: Tensor, other: Tensor) -> Tensor:
    """(KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2, in bits: 0 where equal, 1 where disjoint.

    one, other: [..., n], each row a distribution; returns [...].
    """
    p, q = one.double(), other.double()
    middle = (p + q) / 2
    return ((_divergence(p, middle) + _divergence(q, middle)) / 2).clamp(min=0.0)


def _divergence(p: Tensor, middle: Tensor) -> Tensor:
    """KL(p || middle) in bits; 0 log 0 = 0."""
    return torch.where(p > 0, p * (p / middle).log2(), 0.0).nan_to_num(0.0).sum(-1)
