"""Adapters that change something: every matrix random, where a fresh adapter's B is zero."""

import torch
from lorb_adapters.lora.sites import lora_sites

from lorb_adapters.lora.head import HeadWeights
from lorb_adapters.lora.weights import AdapterWeights, LoraConfig, base_only_weights

HIDDEN, INNER = 32, 64  # of the tiny BERT, as the inputs and the outputs of a part at each join of its two layers
SHAPES = [(HIDDEN, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, INNER), (INNER, HIDDEN)] * 2


def random_adapter(base, seed: int, kind: str = "sum", targets=("query", "key", "value", "dense"), rank: int = 4):
    """An adapter whose every matrix is random, B included."""
    generator = torch.Generator().manual_seed(seed)
    config = LoraConfig(rank=rank, alpha=2.0 * rank, target_modules=targets)
    lora = {
        path: (
            torch.randn(rank, linear.in_features, generator=generator) * 0.2,
            torch.randn(linear.out_features, rank, generator=generator) * 0.2,
        )
        for path, linear in lora_sites(base.encoder, targets).items()
    }
    head = HeadWeights(
        kind, torch.randn(base.hidden_size, generator=generator) * 0.1, torch.randn((), generator=generator)
    )
    return AdapterWeights(config, lora, head)


def unlike_adapters(base):
    """Ranks below, at and above 8, one with two targets, one without any."""
    return [
        random_adapter(base, 0, rank=3),
        random_adapter(base, 1, targets=("query", "value"), rank=8),
        base_only_weights(random_adapter(base, 2).head),
        random_adapter(base, 3, targets=("dense",), rank=9),
    ]
