"""Checks the scores of CUDA graphs against the model's eager scores on random batches."""

import math

import torch

from lorb_adapters.cuda_graphs.graph import GraphBucket
from lorb_adapters.cuda_graphs.runner import CudaGraphRunner
from lorb_adapters.lora.config import LoraConfig
from lorb_adapters.lora.head import CLS, MEAN, SUM, HeadWeights
from lorb_adapters.lora.weights import AdapterWeights, initial_weights
from lorb_adapters.model import RescoringModel
from lorb_adapters.text import EncodedHypothesis

_MIN_ROW_TOKENS, _MAX_ROW_TOKENS = 3, 24
# The standard deviation of B. It is so large that an adapter changes scores by more than rounding in 16 bits does.
_STD_OF_B = 0.2
# The standard deviation of a sum head's weight. It makes a sum head's scores about as large as a mean head's.
_STD_OF_SUM_HEAD = 0.1


def max_relative_deviation(model: RescoringModel, runner: CudaGraphRunner) -> float:
    """Returns the largest |graph - eager| / |eager| of all buckets; infinity if a score is not finite.

    |...| is the norm over the scores of one batch. Each batch has random rows, adapters of several ranks, and heads of
    all kinds. `model.launch_graph` must still be None, so that the model scores eagerly.
    Rounding in bfloat16 gives a few hundredths; mixed-up rows or a missing adapter give a few tenths.
    """
    generator = torch.Generator().manual_seed(0)
    adapters = [_random_adapter(model, kind, rank, generator) for kind, rank in ((SUM, 8), (CLS, 16), (MEAN, 4))]
    worst = 0.0
    for bucket in runner.buckets:
        rows = _random_rows(model, bucket, generator)
        row_adapters = [i % len(adapters) for i in range(len(rows))]
        expected = model.score(rows, adapters, row_adapters)
        future = runner.launch(rows, adapters, row_adapters)
        if future is None:
            raise ValueError(f"{bucket} declines a batch of {len(rows)} rows that fits it")
        deviation = float((future.collect() - expected).norm() / expected.norm())
        worst = max(worst, deviation if math.isfinite(deviation) else math.inf)
    return worst


def _random_rows(model: RescoringModel, bucket: GraphBucket, generator: torch.Generator) -> list[EncodedHypothesis]:
    """Returns rows of random lengths and tokens that nearly fill the bucket's rows or its tokens."""
    embedding = model.base.encoder.get_input_embeddings()  # type: ignore[operator]
    longest = min(_MAX_ROW_TOKENS, bucket.max_row_tokens, model.base.text_encoder.max_tokens)
    rows: list[EncodedHypothesis] = []
    remaining_tokens = bucket.tokens
    while remaining_tokens >= longest and len(rows) < bucket.rows:
        length = int(torch.randint(_MIN_ROW_TOKENS, longest + 1, (), generator=generator))
        ids = torch.randint(embedding.num_embeddings, (length,), generator=generator).tolist()
        rows.append(EncodedHypothesis(tuple(ids), (0,) * length, scored_from=1, truncated=False))
        remaining_tokens -= length
    return rows


def _random_adapter(model: RescoringModel, kind: str, rank: int, generator: torch.Generator) -> AdapterWeights:
    base = model.base
    std = _STD_OF_SUM_HEAD if kind == SUM else 1.0
    head = HeadWeights(kind, torch.randn(base.hidden_size, generator=generator) * std, torch.ones(()))
    weights = initial_weights(base.encoder, LoraConfig(rank=rank, alpha=2.0 * rank), head, generator)
    for _, b in weights.lora.values():
        b.normal_(0.0, _STD_OF_B, generator=generator)
    return weights.to(base.device, base.dtype)
