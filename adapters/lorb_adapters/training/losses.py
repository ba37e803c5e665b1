"""The objectives. Tensors in, scalar out; each names its formula."""

from collections.abc import Sequence

import torch
from torch import Tensor


def mwer_loss(combined: Tensor, word_errors: Tensor, list_sizes: Sequence[int]) -> Tensor:
    """Expected word errors over each list, relative to the list's mean (Yu et al. 2023, eq. for L_MWER).

        P_i = softmax(combined)_i;   L = mean over lists of sum_i P_i (eps_i - mean(eps))

    combined: [hypotheses of all lists, end to end], first pass + rescoring, natural log; word_errors: the same shape,
    counts. Below 0 is better than a random pick. The mean centres the value; it does not change the gradient.
    """
    scores = _by_list(combined, list_sizes, fill=float("-inf"))
    errors = _by_list(word_errors.to(combined.dtype), list_sizes, fill=0.0)
    counts = torch.tensor(list_sizes, device=combined.device, dtype=combined.dtype)
    expected = (scores.softmax(dim=1) * errors).sum(dim=1)
    return (expected - errors.sum(dim=1) / counts).mean()


def correlation_penalty(features: Tensor) -> Tensor:
    """|| Sigma - I ||_F of the features' Pearson correlations (Zhang et al. 2022, arXiv 2205.07208); not squared.

    features: [rows, dimensions]. Constant dimensions count as uncorrelated; fewer than two rows give 0. All rows of
    the step take part: hypotheses of one list are near-duplicates, so compare values at equal row counts only.
    """
    if features.shape[0] < 2:
        return 0.0 * features.sum()
    centred = features - features.mean(dim=0)
    norms = centred.norm(dim=0)
    varies = norms > 1e-6 * (1 + features.abs().amax(dim=0))
    normalized = torch.where(varies, centred / norms.clamp_min(1e-12), torch.zeros_like(centred))
    correlation = normalized.T @ normalized
    off_diagonal = correlation - torch.diag(correlation.diagonal())
    return off_diagonal.square().sum().clamp_min(1e-12).sqrt()


def _by_list(values: Tensor, list_sizes: Sequence[int], *, fill: float) -> Tensor:
    """[lists, longest list], padded with `fill`."""
    return torch.nn.utils.rnn.pad_sequence(
        list(torch.split(values, list(list_sizes))), batch_first=True, padding_value=fill
    )
