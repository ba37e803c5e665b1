"""Computes the spectrum of a weight update: effective rank, relative size, and overlap with another update.

An update is dW [out, in]: scaling * B A for LoRA, the difference of the weights for full fine-tuning.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

TOP = 8  # number of directions, the rank of the compared adapters


@dataclass(frozen=True, slots=True)
class Spectrum:
    """The figures of an update.

    Attributes:
        effective_rank: exp of the entropy of the singular values divided by their sum (Roy and Vetterli 2007), from 1.
        top_energy: share of the squared singular values in the largest TOP, 0 to 1.
        relative_norm: Frobenius norm of the update over that of the weight.
    """

    effective_rank: float
    top_energy: float
    relative_norm: float


@dataclass(frozen=True, slots=True)
class Directions:
    """The leading singular vectors of an update, strongest first.

    Attributes:
        left: [out, k], output directions.
        right: [in, k], input directions.
    """

    left: Tensor
    right: Tensor


def spectrum(update: Tensor, weight: Tensor) -> Spectrum:
    """The spectrum of an update [out, in] to `weight`, of the same shape. All figures are 0 if it is zero."""
    values = torch.linalg.svdvals(update.double())
    total = float(values.sum())
    if total == 0.0:
        return Spectrum(0.0, 0.0, 0.0)
    energies = values.square()
    return Spectrum(
        effective_rank=effective_rank(values),
        top_energy=float(energies[:TOP].sum() / energies.sum()),
        relative_norm=float(update.double().norm() / weight.double().norm()),
    )


def effective_rank(values: Tensor) -> float:
    """exp(-sum p log p) with p = values / sum(values). values: [k] singular values, 0 or more, not all 0."""
    shares = values / values.sum()
    shares = shares[shares > 0]
    return math.exp(-float((shares * shares.log()).sum()))


def directions(update: Tensor, count: int = TOP) -> Directions:
    """The `count` strongest directions of an update, [out, in]."""
    left, _, right = torch.linalg.svd(update.double(), full_matrices=False)
    return Directions(left[:, :count], right[:count].T)


def subspace_overlap(one: Tensor, other: Tensor) -> float:
    """|| one^T other ||_F^2 / min(i, j), from 0 (orthogonal) to 1 (one within the other); Hu et al. 2021, equation 4.

    one: [d, i], other: [d, j], orthonormal columns. For random directions it is max(i, j) / d on average.
    """
    return float((one.T @ other).square().sum() / min(one.shape[1], other.shape[1]))
