"""How far two distributions over the same places are apart."""

import torch
from torch import Tensor


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
