"""The training losses: MWER, MWED, distillation, R-Drop and the correlation penalty. Each takes and returns tensors."""

from collections.abc import Sequence

import torch
from torch import Tensor

# In nats. If the costs of a list sum to less, its scores count as equal, because the temperature T of `mwed_loss` would
# be near 0.
_MINIMUM_TOTAL_COST = 1e-3


def mwer_loss(combined: Tensor, word_errors: Tensor, list_sizes: Sequence[int]) -> Tensor:
    """Returns the expected word errors less the mean word errors, averaged over lists (Yu et al. 2023, L_MWER).

        P_i = softmax(combined)_i;   L = mean over lists of sum_i P_i (eps_i - mean(eps))

    combined: first-pass + rescoring scores, natural log, [hypotheses of all lists, end to end]. word_errors: eps, word
    error counts, same shape. list_sizes: number of hypotheses of each list. A value below 0 is better than a random
    choice. Subtracting the mean shifts the value and leaves the gradient as it is.
    """
    scores = _by_list(combined, list_sizes, fill=float("-inf"))
    errors = _by_list(word_errors.to(combined.dtype), list_sizes, fill=0.0)
    counts = torch.tensor(list_sizes, device=combined.device, dtype=combined.dtype)
    expected = (scores.softmax(dim=1) * errors).sum(dim=1)
    return (expected - errors.sum(dim=1) / counts).mean()


def mwed_loss(combined: Tensor, word_errors: Tensor, list_sizes: Sequence[int]) -> Tensor:
    """Returns the KL divergence of the error distribution from the cost distribution (MWED, arXiv 2202.01094).

        D_err = softmax(eps);   D_cost = softmax(cost / T), T = sum(cost) / sum(eps);   L = mean of KL(D_err || D_cost)

    The mean is over lists. The cost of a hypothesis is the list's best score minus the hypothesis's score; like the
    paper's costs, it falls as hypotheses improve. eps is the hypothesis's word errors minus the list's minimum. T is
    therefore positive, and adding a constant to all scores of a list changes nothing. The paper minimises the
    cross-entropy. KL subtracts the entropy of D_err, which no score changes, so the gradient is the same and the
    minimum is 0. The divergence of a list with equal scores or equal errors counts as 0.

    combined: first-pass + rescoring scores, natural log, [hypotheses of all lists, end to end]. word_errors: word error
    counts, same shape. list_sizes: number of hypotheses of each list.
    """
    present = _by_list(torch.ones_like(combined), list_sizes, fill=0.0) > 0
    scores = _by_list(combined, list_sizes, fill=float("-inf"))
    errors = _by_list(word_errors.to(combined.dtype), list_sizes, fill=float("inf"))
    cost = torch.where(present, scores.amax(dim=1, keepdim=True) - scores, 0.0)
    excess = torch.where(present, errors - errors.amin(dim=1, keepdim=True), 0.0)
    total_cost, total_excess = cost.sum(dim=1, keepdim=True), excess.sum(dim=1, keepdim=True)
    has_contrast = (total_cost > _MINIMUM_TOTAL_COST) & (total_excess > 0)
    temperature = torch.where(has_contrast, total_cost, 1.0) / torch.where(has_contrast, total_excess, 1.0)
    log_errors = excess.masked_fill(~present, float("-inf")).log_softmax(dim=1)
    log_costs = (cost / temperature).masked_fill(~present, float("-inf")).log_softmax(dim=1)
    log_ratio = torch.where(present, log_errors - log_costs, 0.0)
    divergence = (log_errors.exp() * log_ratio).sum(dim=1)
    return torch.where(has_contrast[:, 0], divergence, 0.0).mean()


def distillation_loss(rescoring: Tensor, teacher: Tensor) -> Tensor:
    """Returns the mean squared distance from the teacher's scores (RescoreBERT's L_MD, Xu et al. 2022).

        L = mean of (r_i - teacher_i)^2

    rescoring: scores r_i, [hypotheses], natural log. teacher: the teacher's scores of the same hypotheses. Returns 0 if
    there are no hypotheses.
    """
    return (rescoring - teacher).square().sum() / max(1, len(rescoring))


def r_drop_loss(first: Tensor, second: Tensor, list_sizes: Sequence[int]) -> Tensor:
    """Returns the symmetric KL divergence of the posteriors of two forward passes with different dropout.

    R-Drop, Liang et al. 2021, arXiv 2106.14448:

        L = mean over lists of (KL(P || Q) + KL(Q || P)) / 2

    first, second: combined scores of the two passes, natural log, [hypotheses of all lists, end to end]; P and Q are
    their softmax in each list. list_sizes: number of hypotheses of each list.
    """
    present = _by_list(torch.ones_like(first), list_sizes, fill=0.0) > 0
    p, q = (_by_list(scores, list_sizes, fill=float("-inf")).log_softmax(dim=1) for scores in (first, second))
    log_ratio = torch.where(present, p - q, 0.0)
    return ((p.exp() - q.exp()) * log_ratio).sum(dim=1).mean() / 2


def correlation_penalty(features: Tensor) -> Tensor:
    """Returns || Sigma - I ||_F, not squared. Sigma: matrix of Pearson correlations between the features' dimensions.

    Zhang et al. 2022, arXiv 2205.07208. features: [rows, dimensions]. Constant dimensions count as uncorrelated; fewer
    than two rows give 0. The value depends on the number of rows: compare values of equal row counts only.
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
    """Returns the values as a matrix, [lists, longest list]; shorter lists are padded with `fill`."""
    return torch.nn.utils.rnn.pad_sequence(
        list(torch.split(values, list(list_sizes))), batch_first=True, padding_value=fill
    )
