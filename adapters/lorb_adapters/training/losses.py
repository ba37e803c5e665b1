"""The objectives. Tensors in, scalar out; each names its formula."""

from collections.abc import Sequence

import torch
from torch import Tensor

_SMALLEST_COST = 1e-3  # nats: below it a list's costs are equal, and MWED has no scale to go by


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


def mwed_loss(combined: Tensor, word_errors: Tensor, list_sizes: Sequence[int]) -> Tensor:
    """Distance of the scores' distribution from the word errors' (MWED, Xu et al. 2022, arXiv 2202.01094).

        D_err = softmax(eps);   D_cost = softmax(cost / T), T = sum(cost) / sum(eps);   L = mean of KL(D_err || D_cost)

    combined, word_errors: as in `mwer_loss`. The formula is for costs, which fall as hypotheses get better, so cost is
    how far a score lies behind the list's best, and eps how many errors more than the list's least: T is positive, and
    a constant on all scores changes nothing. KL is the formula's cross-entropy less D_err's entropy: the gradient is
    the same, and 0 is perfect. Lists without contrast in either count 0.
    """
    present = _by_list(torch.ones_like(combined), list_sizes, fill=0.0) > 0
    scores = _by_list(combined, list_sizes, fill=float("-inf"))
    errors = _by_list(word_errors.to(combined.dtype), list_sizes, fill=float("inf"))
    cost = torch.where(present, scores.amax(dim=1, keepdim=True) - scores, 0.0)
    excess = torch.where(present, errors - errors.amin(dim=1, keepdim=True), 0.0)
    total_cost, total_excess = cost.sum(dim=1, keepdim=True), excess.sum(dim=1, keepdim=True)
    contrast = (total_cost > _SMALLEST_COST) & (total_excess > 0)
    temperature = torch.where(contrast, total_cost, 1.0) / torch.where(contrast, total_excess, 1.0)
    log_errors = excess.masked_fill(~present, float("-inf")).log_softmax(dim=1)
    log_costs = (cost / temperature).masked_fill(~present, float("-inf")).log_softmax(dim=1)
    apart = torch.where(present, log_errors - log_costs, 0.0)
    divergence = (log_errors.exp() * apart).sum(dim=1)
    return torch.where(contrast[:, 0], divergence, 0.0).mean()


def distillation_loss(rescoring: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared distance from a teacher's scores (RescoreBERT's L_MD, Xu et al. 2022).

        L = mean of (r_i - teacher_i)^2

    Both [hypotheses], natural log. Without hypotheses 0.
    """
    return (rescoring - teacher).square().sum() / max(1, len(rescoring))


def r_drop_loss(once: Tensor, again: Tensor, list_sizes: Sequence[int]) -> Tensor:
    """Symmetric KL between the list posteriors of two passes with dropout (R-Drop, Liang et al. 2021, 2106.14448).

        L = mean over lists of (KL(P || Q) + KL(Q || P)) / 2

    once, again: combined scores of the two passes, as in `mwer_loss`.
    """
    present = _by_list(torch.ones_like(once), list_sizes, fill=0.0) > 0
    p, q = (_by_list(scores, list_sizes, fill=float("-inf")).log_softmax(dim=1) for scores in (once, again))
    apart = torch.where(present, p - q, 0.0)
    return ((p.exp() - q.exp()) * apart).sum(dim=1).mean() / 2


def correlation_penalty(features: Tensor) -> Tensor:
    """|| Sigma - I ||_F of the features' Pearson correlations (Zhang et al. 2022, arXiv 2205.07208); not squared.

    features: [rows, dimensions]. Constant dimensions count as uncorrelated; fewer than two rows give 0. Hypotheses of
    one list are near-duplicates: give all rows of a step or one of each list, and compare values at equal row counts.
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
