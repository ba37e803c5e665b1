"""CUDA graphs: the buckets that they are captured for, and a capture that fails."""

import pytest
import torch

from lorb_adapters.base.loader import load_base
from lorb_adapters.cuda_graphs.check import max_relative_deviation
from lorb_adapters.cuda_graphs.graph import GraphBucket, capture_graphs, graph_buckets
from lorb_adapters.cuda_graphs.runner import CudaGraphRunner
from lorb_adapters.model import RescoringModel


def test_buckets_keep_within_the_token_budget():
    """Buckets come largest first, none above the budget or above 2048 tokens."""
    assert [bucket.tokens for bucket in graph_buckets(600)] == [512, 384, 256, 128]
    assert graph_buckets(100) == ()
    assert max(bucket.tokens for bucket in graph_buckets(8192)) == 2048


@pytest.mark.parametrize(("size", "fits"), [((48, 6, 20), True), ((49, 6, 20), False), ((48, 7, 20), False),
                                            ((48, 6, 21), False)])  # fmt: skip
def test_a_bucket_bounds_tokens_rows_and_row_length(size, fits):
    """A batch fits if its tokens, its rows and its longest row are within the bucket's."""
    assert GraphBucket(48, 6, max_row_tokens=20).fits(*size) is fits


@pytest.mark.gpu
def test_a_failed_capture_leaves_the_device_usable(tiny_bert):
    """A forward that cannot be captured raises, and eager batches and a second capture still work."""
    model = RescoringModel(load_base(str(tiny_bert), device="cuda", dtype=torch.bfloat16))
    with pytest.raises(RuntimeError):
        capture_graphs([lambda: torch.zeros(1, device="cuda") + torch.zeros(1, device="cuda").item()])
    runner = CudaGraphRunner(model, (GraphBucket(48, 6, max_row_tokens=20),), capture_graphs)
    assert max_relative_deviation(model, runner) < 0.1
