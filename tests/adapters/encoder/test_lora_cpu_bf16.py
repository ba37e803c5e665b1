"""Several adapters in products of few shapes: the same as the segments' own."""

import gc

import pytest
import torch

from lorb_adapters.base.loader import load_base
from lorb_adapters.encoder.lora_cpu_bf16 import ConcatenatedLora, PaddedAdapters
from lorb_adapters.encoder.lora_matrices import JOINED_SITES, LoraStacks, Projection, SegmentLora
from lorb_adapters.encoder.onednn import token_step_up
from lorb_adapters.encoder.workspace import Workspace
from lorb_adapters.lora.weights import base_only_weights
from support.adapters.random_adapters import SHAPES, random_adapter


@pytest.fixture(scope="module")
def base(tiny_bert):
    return load_base(str(tiny_bert))


@pytest.fixture(scope="module")
def adapters(base):
    """More than one product holds, of unlike ranks and targets, one without any matrix."""
    made = [random_adapter(base, seed, rank=3 + seed) for seed in range(5)]
    return [*made, random_adapter(base, 5, targets=("query", "value")), base_only_weights(made[0].head)]


def added(branches, num_tokens, dtype=torch.float32):
    """What the branches make of random inputs at every join, on top of random outputs."""
    generator = torch.Generator().manual_seed(0)
    outputs = []
    for i, (inputs, size) in enumerate(SHAPES):
        layer, join = divmod(i, len(Projection))
        x = torch.randn(num_tokens, inputs, generator=generator).to(dtype)
        out = torch.randn(num_tokens, size * len(JOINED_SITES[Projection(join)]), generator=generator).to(dtype)
        branches.add(layer, Projection(join), x, out)
        outputs.append(out)
    return outputs


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.1)])
@pytest.mark.parametrize("lengths", [(7,), (7, 1), (30, 2, 11), (5, 40, 3, 1, 17, 90, 4), (64, 64, 64, 64, 64)])
def test_products_together_add_what_segments_add(adapters, lengths, dtype, tolerance):
    """At every join of every layer, for one group of adapters, several, windows over neighbours and at the end."""
    own = [weights.to("cpu", dtype) for weights in adapters]
    stops = torch.tensor(lengths).cumsum(0).tolist()
    segments = [(stop - n, stop, weights) for n, stop, weights in zip(lengths, stops, own, strict=False)]
    num_tokens = stops[-1]
    whole = token_step_up(num_tokens)
    masked = added(ConcatenatedLora(segments, num_tokens, PaddedAdapters(SHAPES, dtype)), whole, dtype)
    looped = added(SegmentLora(segments, LoraStacks(2, dtype), Workspace(torch.device("cpu"))), whole, dtype)
    for ours, expected in zip(masked, looped, strict=True):
        torch.testing.assert_close(ours[:num_tokens], expected[:num_tokens], rtol=tolerance, atol=tolerance)


def test_not_a_number_stays_with_its_adapter(adapters, base):
    """An adapter with NaN leaves the tokens of the others in the same product as they were."""
    bad = random_adapter(base, 9)
    for a, _ in bad.lora.values():
        a.fill_(float("nan"))
    padded = PaddedAdapters(SHAPES, torch.float32)
    with_bad = added(ConcatenatedLora([(0, 8, adapters[0]), (8, 16, bad)], 16, padded), 16)
    without = added(ConcatenatedLora([(0, 8, adapters[0])], 16, padded), 16)
    for ours, expected in zip(with_bad, without, strict=True):
        torch.testing.assert_close(ours[:8], expected[:8])
    assert with_bad[0][8:].isnan().all()


def test_one_copy_is_kept_whatever_ranks_an_adapter_meets(base):
    """Adapters of ranks 4, 16 and 64 that shared products take as much again as their matrices, and no more."""
    padded = PaddedAdapters(SHAPES, torch.float32)
    adapters = [random_adapter(base, rank, rank=rank) for rank in (4, 16, 64)]
    for together in ([0], [0, 1], [0, 2], [1, 2], [0, 1, 2]):
        ConcatenatedLora([(8 * i, 8 * i + 8, adapters[number]) for i, number in enumerate(together)], 24, padded)
    for weights in adapters:
        kept_bytes = sum(tensor.nbytes for pair in padded._kept.of(weights, list) for tensor in pair)
        assert kept_bytes == sum(a.nbytes + b.nbytes for a, b in weights.lora.values())


def test_padded_matrices_go_with_their_adapters(base):
    """What is kept for an adapter ends with it, and a trained one's is never kept."""
    padded = PaddedAdapters(SHAPES, torch.float32)
    kept, trained = random_adapter(base, 4), random_adapter(base, 5)
    next(trained.tensors()).requires_grad_(True)
    with torch.no_grad():
        padded.of(kept)
        padded.of(trained)
    assert list(padded._kept) == [kept]
    del kept
    gc.collect()
    assert not padded._kept
