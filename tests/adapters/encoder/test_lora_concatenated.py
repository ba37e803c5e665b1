"""LoRA on a CPU in bf16: concatenated adapters give what a loop over segments gives."""

import gc

import pytest
import torch

from lorb_adapters.base.loader import load_base
from lorb_adapters.encoder.lora_concatenated import ConcatenatedLora, ZeroFilledMatrices
from lorb_adapters.encoder.lora_segments import LoraMatricesCache, SegmentLora
from lorb_adapters.encoder.memory import Workspace
from lorb_adapters.encoder.onednn import padded_length
from lorb_adapters.encoder.projections import PROJECTION_MODULES, projection_at
from lorb_adapters.lora.weights import base_only_weights
from support.adapters.random_adapters import SHAPES, random_adapter


@pytest.fixture(scope="module")
def base(tiny_bert):
    return load_base(str(tiny_bert))


@pytest.fixture(scope="module")
def adapters(base):
    """More adapters than one product holds, of different ranks and targets, one without any matrix."""
    adapters = [random_adapter(base, seed, rank=3 + seed) for seed in range(5)]
    return [*adapters, random_adapter(base, 5, targets=("query", "value")), base_only_weights(adapters[0].head)]


def added(lora, num_tokens, dtype=torch.float32):
    """Adds LoRA to random outputs for random inputs, at every projection."""
    generator = torch.Generator().manual_seed(0)
    outputs = []
    for i, (inputs, size) in enumerate(SHAPES):
        layer, projection = projection_at(i)
        x = torch.randn(num_tokens, inputs, generator=generator).to(dtype)
        out = torch.randn(num_tokens, size * len(PROJECTION_MODULES[projection]), generator=generator).to(dtype)
        lora.add(layer, projection, x, out)
        outputs.append(out)
    return outputs


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.1)])
@pytest.mark.parametrize("lengths", [(7,), (7, 1), (30, 2, 11), (5, 40, 3, 1, 17, 90, 4), (64, 64, 64, 64, 64)])
def test_concatenated_adapters_add_what_segments_add(adapters, lengths, dtype, tolerance):
    """Both agree at every projection, for one group of adapters, for several, and for windows at the batch's end."""
    own = [weights.to("cpu", dtype) for weights in adapters]
    ends = torch.tensor(lengths).cumsum(0).tolist()
    segments = [(stop - n, stop, weights) for n, stop, weights in zip(lengths, ends, own, strict=False)]
    num_tokens = ends[-1]
    padded = padded_length(num_tokens)
    concatenated = added(ConcatenatedLora(segments, num_tokens, ZeroFilledMatrices(SHAPES, dtype)), padded, dtype)
    looped = added(SegmentLora(segments, LoraMatricesCache(2, dtype), Workspace(torch.device("cpu"))), padded, dtype)
    for ours, expected in zip(concatenated, looped, strict=True):
        torch.testing.assert_close(ours[:num_tokens], expected[:num_tokens], rtol=tolerance, atol=tolerance)


def test_nan_stays_with_its_adapter(adapters, base):
    """An adapter with NaN does not change the tokens of the others in the same product."""
    bad = random_adapter(base, 9)
    for a, _ in bad.lora.values():
        a.fill_(float("nan"))
    matrices = ZeroFilledMatrices(SHAPES, torch.float32)
    with_bad = added(ConcatenatedLora([(0, 8, adapters[0]), (8, 16, bad)], 16, matrices), 16)
    without = added(ConcatenatedLora([(0, 8, adapters[0])], 16, matrices), 16)
    for ours, expected in zip(with_bad, without, strict=True):
        torch.testing.assert_close(ours[:8], expected[:8])
    assert with_bad[0][8:].isnan().all()


def test_one_copy_serves_batches_of_any_rank(base):
    """After batches of adapters of ranks 4, 16 and 64 the cache holds as much as their matrices, and no more."""
    matrices = ZeroFilledMatrices(SHAPES, torch.float32)
    adapters = [random_adapter(base, rank, rank=rank) for rank in (4, 16, 64)]
    for together in ([0], [0, 1], [0, 2], [1, 2], [0, 1, 2]):
        ConcatenatedLora([(8 * i, 8 * i + 8, adapters[number]) for i, number in enumerate(together)], 24, matrices)
    for weights in adapters:
        cached_bytes = sum(tensor.nbytes for pair in matrices._cache.get_or_build(weights, list) for tensor in pair)
        assert cached_bytes == sum(a.nbytes + b.nbytes for a, b in weights.lora.values())


def test_matrices_are_freed_with_their_adapter(base):
    """The cache drops an adapter when it is freed, and never holds one in training."""
    matrices = ZeroFilledMatrices(SHAPES, torch.float32)
    served, trained = random_adapter(base, 4), random_adapter(base, 5)
    next(trained.tensors()).requires_grad_(True)
    with torch.no_grad():
        matrices.get(served)
        matrices.get(trained)
    assert list(matrices._cache) == [served]
    del served
    gc.collect()
    assert not matrices._cache
