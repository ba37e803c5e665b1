"""Measures the isotropy of the head's input features, which the correlation regulariser should raise.

- correlation: || Sigma - I ||_F over the rows, as in the regulariser, divided by its value for independent
  dimensions at this number of rows, sqrt(d (d - 1) / (rows - 1)): 1 is no more correlation than chance.
- mean_cosine: the mean cosine between the features of two lists; 0 for isotropic features.
- partition: min over max, over the principal directions c, of Z(c) = sum_i exp(c . f_i) with features of mean norm 1
  (Mu and Viswanath 2018, arXiv 1702.01417); 1 is isotropic.
"""

import math

import torch
from torch import Tensor

from lorb_adapters.training.losses import correlation_penalty


def isotropy(features: Tensor) -> dict[str, float]:
    """The three measures. features: [rows, dimensions], a row for each list."""
    features = features.detach().double().cpu()
    rows, dimensions = features.shape
    chance = math.sqrt(dimensions * (dimensions - 1) / max(1, rows - 1))
    unit = torch.nn.functional.normalize(features, dim=1)
    total = (unit @ unit.T).sum() - rows
    scaled = features / features.norm(dim=1).mean().clamp_min(1e-12)
    _, directions = torch.linalg.eigh(scaled.T @ scaled)  # columns
    directions = torch.cat([directions, -directions], dim=1)
    partition = torch.logsumexp(scaled @ directions, dim=0)
    return {
        "correlation": float(correlation_penalty(features)) / chance,
        "mean_cosine": float(total) / (rows * max(1, rows - 1)),
        "partition": float((partition.min() - partition.max()).exp()),
    }
