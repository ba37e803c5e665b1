"""Whether small passes score as the model's ordinary ones do."""

import math

import torch

from lorb_adapters.cuda_graphs.bucket import GraphBucket
from lorb_adapters.cuda_graphs.runner import CudaGraphRunner
from lorb_adapters.lora.head import CLS, MEAN, SUM, HeadWeights
from lorb_adapters.lora.sites import fresh_weights
from lorb_adapters.lora.weights import AdapterWeights, LoraConfig
from lorb_adapters.model import RescoringModel
from lorb_adapters.text import EncodedHypothesis

_ROW_TOKENS = (3, 24)  # the shortest and the longest
# Of B: an adapter then moves scores by more than rounding in 16 bits does.
_DEVIATION_OF_B = 0.2
# A sum over a row is then about as large as a mean.
_SUM_HEAD = 0.1


def largest_deviation(model: RescoringModel, passes: CudaGraphRunner) -> float:
    """How far their scores are from the model's, as a share of these, in the worst shape; infinite where one is NaN.

    Random rows, in each pass of adapters and heads of several kinds. The model is not to use the passes yet. In
    bfloat16 some hundredths are rounding; scores of other rows, or without the adapter, are some tenths away.
    """
    generator = torch.Generator().manual_seed(0)
    adapters = [_random_adapter(model, kind, rank, generator) for kind, rank in ((SUM, 8), (CLS, 16), (MEAN, 4))]
    worst = 0.0
    for shape in passes.shapes:
        rows = _random_rows(model, shape, generator)
        which = [i % len(adapters) for i in range(len(rows))]
        expected = model.score(rows, adapters, which)
        pending = passes.launch(rows, adapters, which)
        if pending is None:
            raise ValueError(f"{shape} does not hold {len(rows)} rows")
        deviation = float((pending.collect() - expected).norm() / expected.norm())
        worst = max(worst, deviation if math.isfinite(deviation) else math.inf)
    return worst


def _random_rows(model: RescoringModel, shape: GraphBucket, generator: torch.Generator) -> list[EncodedHypothesis]:
    """As many as the shape takes; their lengths and tokens are random."""
    embedding = model.base.encoder.get_input_embeddings()  # type: ignore[operator]
    low, high = _ROW_TOKENS[0], min(_ROW_TOKENS[1], shape.longest, model.base.text_encoder.max_tokens)
    rows: list[EncodedHypothesis] = []
    left = shape.tokens
    while left >= high and len(rows) < shape.rows:
        length = int(torch.randint(low, high + 1, (), generator=generator))
        ids = torch.randint(embedding.num_embeddings, (length,), generator=generator).tolist()
        rows.append(EncodedHypothesis(tuple(ids), (0,) * length, scored_from=1, truncated=False))
        left -= length
    return rows


def _random_adapter(model: RescoringModel, kind: str, rank: int, generator: torch.Generator) -> AdapterWeights:
    base = model.base
    size = _SUM_HEAD if kind == SUM else 1.0
    head = HeadWeights(kind, torch.randn(base.hidden_size, generator=generator) * size, torch.ones(()))
    weights = fresh_weights(base.encoder, LoraConfig(rank=rank, alpha=2.0 * rank), head, generator)
    for _, b in weights.lora.values():
        b.normal_(0.0, _DEVIATION_OF_B, generator=generator)
    return weights.to(base.device, base.dtype)
