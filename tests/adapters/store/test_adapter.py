"""lorb_adapters.store.adapter."""

from dataclasses import replace

import pytest
import torch

from lorb_adapters.store.adapter import weights_digest
from support.adapters.random_adapters import random_adapter


@pytest.fixture(scope="module")
def weights(store_base):
    """Weights that fit the tiny base."""
    return random_adapter(store_base)


def test_equal_weights_have_equal_digests(store_base, weights):
    """The digest depends only on the weights' values, not on the order or strides of the tensors."""
    reordered = replace(weights, lora=dict(reversed(weights.lora.items())))
    strided = replace(
        weights,
        lora={path: (a.T.contiguous().T, b.T.contiguous().T) for path, (a, b) in weights.lora.items()},
    )
    assert weights_digest(random_adapter(store_base)) == weights_digest(weights)
    assert weights_digest(reordered) == weights_digest(weights)
    assert weights_digest(strided) == weights_digest(weights)


def test_every_value_changes_the_digest(weights):
    """Changing a single number of any tensor changes the digest."""
    digests = {weights_digest(weights)}
    for path, (a, b) in weights.lora.items():
        for changed in ((_nudged(a), b), (a, _nudged(b))):
            digests.add(weights_digest(replace(weights, lora=dict(weights.lora) | {path: changed})))
    assert len(digests) == 1 + 2 * len(weights.lora)


def test_the_head_changes_the_digest(weights):
    """The head's kind, weight and bias each change the digest."""
    head = weights.head
    heads = [
        head,
        replace(head, kind="mean"),
        replace(head, weight=_nudged(head.weight)),
        replace(head, bias=head.bias + 1),
    ]
    assert len({weights_digest(replace(weights, head=each)) for each in heads}) == 4


def test_the_scaling_changes_the_digest(weights):
    """The configuration values that scale the LoRA product change the digest."""
    config = weights.config
    configs = [config, replace(config, alpha=config.alpha * 2), replace(config, use_rslora=True)]
    assert len({weights_digest(replace(weights, config=each)) for each in configs}) == 3


def test_swapped_tensors_change_the_digest(weights):
    """Exchanging the tensors of two layers changes the digest."""
    first, second = [path for path in weights.lora if path.endswith(("query", "key"))][:2]
    swapped = dict(weights.lora) | {first: weights.lora[second], second: weights.lora[first]}
    assert weights_digest(replace(weights, lora=swapped)) != weights_digest(weights)


def _nudged(tensor: torch.Tensor) -> torch.Tensor:
    changed = tensor.clone()
    changed.view(-1)[-1] += 1e-3
    return changed
