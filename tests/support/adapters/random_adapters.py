"""Adapters with random A and B, so that they change scores."""

import torch

from lorb_adapters.lora.config import ALL_LINEAR, LoraConfig
from lorb_adapters.lora.head import HeadWeights
from lorb_adapters.lora.weights import AdapterWeights, base_only_weights, linear_modules

HIDDEN, INNER = 32, 64  # sizes of the tiny BERT
# (inputs, outputs of one module) of every projection of the tiny BERT's two layers
SHAPES = [(HIDDEN, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, INNER), (INNER, HIDDEN)] * 2


def random_adapter(
    base, seed: int = 0, kind: str = "sum", targets=ALL_LINEAR, rank: int = 4, *, std=0.2, head_std=0.1
) -> AdapterWeights:
    """Returns an adapter whose matrices are all random; the same seed gives the same weights.

    std, head_std: standard deviations of A and B, and of the head's weight.
    """
    generator = torch.Generator().manual_seed(seed)
    config = LoraConfig(rank=rank, alpha=2.0 * rank, target_modules=targets)
    lora = {
        path: (
            torch.randn(rank, linear.in_features, generator=generator) * std,
            torch.randn(linear.out_features, rank, generator=generator) * std,
        )
        for path, linear in linear_modules(base.encoder, targets).items()
    }
    head = HeadWeights(
        kind, torch.randn(base.hidden_size, generator=generator) * head_std, torch.randn((), generator=generator)
    )
    return AdapterWeights(config, lora, head)


def unlike_adapters(base):
    """Returns adapters of ranks below, at and above 8, one of them with two targets, and one without LoRA."""
    return [
        random_adapter(base, 0, rank=3),
        random_adapter(base, 1, targets=("query", "value"), rank=8),
        base_only_weights(random_adapter(base, 2).head),
        random_adapter(base, 3, targets=("dense",), rank=9),
    ]
